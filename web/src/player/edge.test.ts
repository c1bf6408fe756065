import { describe, expect, it } from "vitest";
import { Edge, LEAST_S, MOST_S, trim } from "./edge";

const upTo = (end: number) => [{ start: 0, end }];

/** Pictures so far apart have come, up to `end`. */
function used(apart: number, end = 10): Edge {
  const edge = new Edge();
  for (let at = 60; at >= 0; at--) edge.follow(end - at * apart - apart - LEAST_S, upTo(end - at * apart), 0);
  return edge;
}

describe("staying at the live edge", () => {
  it("does nothing where nothing is buffered", () => {
    expect(new Edge().follow(0, [], 0)).toEqual({ rate: 1, seekTo: null });
  });
  it("goes into the buffer when it stands outside", () => {
    expect(new Edge().follow(0, [{ start: 40, end: 42 }], 0).seekTo).toBeCloseTo(42 - LEAST_S);
    expect(new Edge().follow(0, [{ start: 40, end: 40.05 }], 0).seekTo).toBe(40);
  });
  it("keeps one picture and a little in hand, however far pictures are apart", () => {
    expect(used(0.04).targetS).toBeCloseTo(0.14);
    expect(used(0.2).targetS).toBeCloseTo(0.3);
  });
  it("plays plainly there, a little faster when a little behind, and slower when too near", () => {
    const edge = used(0.04);
    expect(edge.follow(9.86, upTo(10), 0)).toEqual({ rate: 1, seekTo: null });
    expect(edge.follow(9.8, upTo(10), 0).rate).toBe(1.03);
    expect(edge.follow(9.6, upTo(10), 0).rate).toBe(1.08);
    expect(edge.follow(9.2, upTo(10), 0).rate).toBe(1.25);
    expect(edge.follow(9.95, upTo(10), 0).rate).toBeLessThan(1);
  });
  it("jumps when far behind", () => {
    expect(used(0.04).follow(8, upTo(10), 0).seekTo).toBeCloseTo(9.86);
  });
  it("leaves a stretch that has no more", () => {
    const ranges = [{ start: 0, end: 5 }, { start: 5.4, end: 5.9 }];
    expect(new Edge().follow(4.95, ranges, 0).seekTo).toBeCloseTo(5.9 - LEAST_S);
  });
  it("keeps more in hand after it ran dry, once for each time, and never too much", () => {
    const edge = used(0.04);
    for (let second = 0; second < 5; second++) edge.follow(10, upTo(10), second);
    expect(edge.targetS).toBeCloseTo(0.04 + LEAST_S * 1.6);
    for (let time = 0; time < 20; time++) {
      edge.follow(9.5, upTo(10), time);
      edge.follow(10, upTo(10), time);
    }
    expect(edge.targetS).toBeCloseTo(0.04 + MOST_S);
  });
  it("tries less again after a calm while", () => {
    const edge = used(0.04);
    edge.follow(10, upTo(10), 100);
    for (let second = 101; second < 400; second++) edge.follow(9.8, upTo(10), second);
    expect(edge.targetS).toBeCloseTo(0.14);
  });
  it("lets go of what was seen, now and then", () => {
    expect(trim(10, [{ start: 0, end: 11 }])).toBeNull();
    expect(trim(20, [{ start: 0, end: 21 }])).toEqual({ start: 0, end: 14 });
  });
});
