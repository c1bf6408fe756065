import { describe, expect, it } from "vitest";
import { follow, TARGET_S, trim } from "./edge";

describe("staying at the live edge", () => {
  it("does nothing where nothing is buffered", () => {
    expect(follow(0, [])).toEqual({ rate: 1, seekTo: null });
  });
  it("goes into the buffer when it stands outside", () => {
    expect(follow(0, [{ start: 40, end: 42 }]).seekTo).toBeCloseTo(42 - TARGET_S);
    expect(follow(0, [{ start: 40, end: 40.1 }]).seekTo).toBe(40);
  });
  it("plays plainly near the edge, and a little faster when a little behind", () => {
    const ranges = [{ start: 0, end: 10 }];
    expect(follow(9.6, ranges)).toEqual({ rate: 1, seekTo: null });
    expect(follow(9.3, ranges).rate).toBe(1.1);
    expect(follow(8.9, ranges).rate).toBe(1.25);
    expect(follow(9.95, ranges).rate).toBeLessThan(1);
  });
  it("jumps when more than a second and a half behind", () => {
    expect(follow(8.4, [{ start: 0, end: 10 }]).seekTo).toBeCloseTo(10 - TARGET_S);
  });
  it("leaves a stretch that has no more", () => {
    expect(follow(4.95, [{ start: 0, end: 5 }, { start: 5.4, end: 5.9 }]).seekTo).toBeCloseTo(5.9 - TARGET_S);
  });
  it("lets go of what was seen, now and then", () => {
    expect(trim(10, [{ start: 0, end: 11 }])).toBeNull();
    expect(trim(20, [{ start: 0, end: 21 }])).toEqual({ start: 0, end: 14 });
  });
});
