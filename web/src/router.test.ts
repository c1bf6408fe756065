import { describe, expect, it } from "vitest";
import { address, parseRoute } from "./router.svelte";

describe("addresses", () => {
  it("name page, rest and query", () => {
    const route = parseRoute("#/review?cameras=a,b&at=5");
    expect([route.page, route.rest, route.query.get("cameras"), route.query.get("at")]).toEqual(["review", "", "a,b", "5"]);
  });
  it("keep the code of a link", () => {
    expect(parseRoute(address("invitation", "a/b=c")).rest).toBe("a/b=c");
  });
  it("lead to the front door when unknown", () => {
    expect(parseRoute("#/nonsense").page).toBe("");
    expect(parseRoute("").page).toBe("");
  });
});
