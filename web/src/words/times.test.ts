import { beforeEach, describe, expect, it } from "vitest";
import { day, dayStart, fromInputs, second, setZone, toInputs, zoneName } from "./times";

const AT_US = Date.UTC(2026, 10, 21, 20, 30, 15) * 1000;

describe("times of the recorder's zone", () => {
  beforeEach(() => setZone(7 * 3600));

  it("are those of the place", () => {
    expect(day(AT_US)).toBe("22/11/2026");
    expect(second(AT_US)).toBe("03:30:15");
    expect(zoneName()).toBe("UTC+07:00");
  });

  it("name zones west of Greenwich and of half an hour", () => {
    expect(zoneName(-(3.5 * 3600e6))).toBe("UTC-03:30");
  });

  it("begin a day at its own midnight", () => {
    expect(second(dayStart(AT_US))).toBe("00:00:00");
    expect(day(dayStart(AT_US))).toBe("22/11/2026");
  });

  it("go into the browser's pickers and back", () => {
    const { date, time } = toInputs(AT_US);
    expect([date, time]).toEqual(["2026-11-22", "03:30:15"]);
    expect(fromInputs(date, time)).toBe(AT_US);
    expect(fromInputs(date, "03:30")).toBe(AT_US - 15e6);
    expect(fromInputs("", time)).toBeNull();
  });
});
