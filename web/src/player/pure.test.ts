import { describe, expect, it } from "vitest";
import { waitMs } from "./backoff";
import { FootageMap } from "./footage-map";
import { readMessage } from "./messages";
import { faster, inStep, ReviewClock, slower } from "./review-clock";
import { cssOf, NO_ZOOM, panBy, zoomAt } from "./zoom";

describe("waiting before the next try", () => {
  it("doubles, up to a limit, and varies by chance", () => {
    expect(waitMs(1, 0)).toBe(250);
    expect(waitMs(1, 1)).toBe(500);
    expect(waitMs(3, 1)).toBe(2000);
    expect(waitMs(50, 1)).toBe(15_000);
  });
});

describe("messages", () => {
  it("are read", () => {
    expect(readMessage('{"kind":"segment","codec":"avc1.64001f","mime":"video/mp4","start_utc_us":5,"width":640,"height":360}')).toEqual({
      kind: "segment", codec: "avc1.64001f", mime: "video/mp4", startUtcUs: 5, width: 640, height: 360,
    });
    expect(readMessage('{"kind":"skipped"}')).toEqual({ kind: "skipped" });
    expect(readMessage('{"kind":"state","phase":"waiting","what":{"en":"No answer","vi":"Không trả lời"},"advice":{"en":"Look"}}')).toEqual({
      kind: "state",
      isAway: true,
      what: { en: "No answer", vi: "Không trả lời" },
      advice: { en: "Look", vi: "Look" },
    });
    expect(readMessage('{"kind":"state","phase":"playing"}')).toMatchObject({ isAway: false });
  });
  it("that say something else are passed over", () => {
    for (const text of ["", "nonsense", "5", "null", "{}", '{"kind":"new"}', '{"kind":"segment"}', '{"kind":"segment","mime":"x","start_utc_us":"5"}']) {
      expect(readMessage(text)).toBeNull();
    }
  });
});

describe("the map of footage", () => {
  // Ten seconds, a hole of a minute, ten seconds.
  const map = new FootageMap([
    { start: 0, duration: 5, utcUs: 100e6 },
    { start: 5, duration: 5, utcUs: 105e6 },
    { start: 10, duration: 10, utcUs: 170e6 },
  ]);
  it("finds moments in media time", () => {
    expect(map.toMedia(100e6)).toBe(0);
    expect(map.toMedia(107e6)).toBeCloseTo(7);
    expect(map.toMedia(175e6)).toBeCloseTo(15);
  });
  it("knows holes", () => {
    expect(map.toMedia(99e6)).toBeNull();
    expect(map.toMedia(130e6)).toBeNull();
    expect(map.toMedia(181e6)).toBeNull();
    expect(new FootageMap([]).toMedia(1)).toBeNull();
  });
  it("goes back", () => {
    expect(map.toUtc(7)).toBeCloseTo(107e6);
    expect(map.toUtc(10)).toBeCloseTo(170e6);
  });
});

describe("the review clock", () => {
  it("passes with its speed, waits while held, ends at the newest footage", () => {
    const clock = new ReviewClock(1e9);
    clock.pass(1000, 2e9);
    expect(clock.utcUs).toBe(1e9);
    clock.isPlaying = true;
    clock.speed = 4;
    clock.pass(500, 2e9);
    expect(clock.utcUs).toBe(1e9 + 2e6);
    clock.isHeld = true;
    clock.pass(500, 2e9);
    expect(clock.utcUs).toBe(1e9 + 2e6);
    clock.isHeld = false;
    expect(clock.pass(1e6, 1e9 + 3e6)).toBe(true);
    expect(clock.utcUs).toBe(1e9 + 3e6);
  });
  it("has speeds from an eighth to 32", () => {
    expect([faster(1), slower(1), faster(32), slower(0.125)]).toEqual([2, 0.5, 32, 0.125]);
  });
});

describe("staying in step", () => {
  const clock = { speed: 1, isPlaying: true, isHeld: false };
  it("plays, correcting a little", () => {
    expect(inStep(clock, 10, 10, false)).toEqual({ kind: "play", rate: 1 });
    expect(inStep(clock, 10, 9.75, false)).toEqual({ kind: "play", rate: 1.125 });
    expect(inStep(clock, 10, 10.25, false)).toEqual({ kind: "play", rate: 0.875 });
  });
  it("seeks when far off, but not while it seeks", () => {
    expect(inStep(clock, 10, 2, false)).toEqual({ kind: "seek", to: 10 });
    expect(inStep(clock, 10, 2, true)).toEqual({ kind: "stay" });
  });
  it("stands still on the very picture", () => {
    const paused = { ...clock, isPlaying: false };
    expect(inStep(paused, 10, 10.04, false)).toEqual({ kind: "seek", to: 10 });
    expect(inStep(paused, 10, 10.001, false)).toEqual({ kind: "stay" });
  });
  it("goes from picture to picture where browsers cannot play so fast", () => {
    expect(inStep({ ...clock, speed: 32 }, 10, 9, false)).toEqual({ kind: "seek", to: 10 });
    expect(inStep({ ...clock, speed: 32 }, 10, 9, true)).toEqual({ kind: "stay" });
  });
});

describe("digital zoom", () => {
  it("keeps the point under the pointer, and the picture within its box", () => {
    const zoom = zoomAt(NO_ZOOM, 2, 0.5, 0.5);
    expect(zoom).toEqual({ scale: 2, x: -0.5, y: -0.5 });
    expect(panBy(zoom, 9, -9)).toEqual({ scale: 2, x: 0, y: -1 });
    expect(zoomAt(zoom, 0.1, 0.3, 0.3)).toEqual(NO_ZOOM);
    expect(zoomAt(zoom, 100, 0, 0).scale).toBe(12);
  });
  it("is said in CSS", () => {
    expect(cssOf(NO_ZOOM)).toBe("none");
    expect(cssOf({ scale: 2, x: -0.5, y: -0.25 })).toBe("translate(-50.000%, -25.000%) scale(2.0000)");
  });
});
