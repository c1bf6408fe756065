import { describe, expect, it } from "vitest";
import { Coverage } from "./coverage";
import { around, keepInView, MOST_SPAN_US, pan, spanOf, toUtc, toX, within, zoom } from "./geometry";
import { ticks } from "./ticks";

const HOUR = 3600e6;
const ZONE = 7 * HOUR;
const NOON = Date.UTC(2026, 10, 21, 5) * 1000; // noon in Vietnam

describe("geometry", () => {
  const view = { startUs: NOON, endUs: NOON + HOUR };
  it("goes from moments to pixels and back", () => {
    expect(toX(view, 600, NOON + HOUR / 2)).toBe(300);
    expect(toUtc(view, 600, 150)).toBe(NOON + HOUR / 4);
  });
  it("zooms around a moment that stays where it is", () => {
    const at = NOON + HOUR / 4;
    const closer = zoom(view, 0.5, at);
    expect(spanOf(closer)).toBe(HOUR / 2);
    expect(toX(closer, 600, at)).toBeCloseTo(150);
  });
  it("zooms between a second and 90 days", () => {
    expect(spanOf(zoom(view, 1e-9, NOON))).toBe(1e6);
    expect(spanOf(zoom(view, 1e9, NOON))).toBe(MOST_SPAN_US);
  });
  it("goes neither far into the future nor before what is kept", () => {
    expect(within(pan(view, 10 * HOUR), NOON).endUs).toBeCloseTo(NOON + HOUR / 10);
    expect(within(pan(view, -100 * 24 * HOUR), NOON).startUs).toBeCloseTo(NOON - MOST_SPAN_US - HOUR / 10);
  });
  it("follows a moment that leaves the view", () => {
    expect(keepInView(view, NOON + 1)).toBe(view);
    expect(keepInView(view, NOON + HOUR + 1).startUs).toBeCloseTo(NOON + HOUR * 0.9 + 1);
    expect(keepInView(view, NOON - 50 * HOUR)).toEqual(around(NOON - 50 * HOUR, HOUR));
  });
});

describe("ticks", () => {
  it("are never closer than a label needs", () => {
    for (let span = 1e6; span < MOST_SPAN_US; span *= 1.7) {
      for (const width of [340, 1400]) {
        const { stepUs, marks } = ticks({ startUs: NOON, endUs: NOON + span }, width, ZONE);
        expect((stepUs / span) * width).toBeGreaterThanOrEqual(72);
        expect(marks.length).toBeLessThan(30);
      }
    }
  });
  it("begin days at the place's own midnight", () => {
    const { kind, marks } = ticks({ startUs: NOON - 12 * HOUR, endUs: NOON + 36 * HOUR }, 1000, ZONE);
    expect(kind).toBe("minute");
    expect(marks.filter((mark) => mark.isMidnight).map((mark) => mark.utcUs)).toEqual([NOON - 12 * HOUR, NOON + 12 * HOUR, NOON + 36 * HOUR]);
  });
  it("go down to tenths of a second", () => {
    expect(ticks({ startUs: NOON, endUs: NOON + 1e6 }, 1400, ZONE).kind).toBe("tenth");
  });
});

describe("coverage", () => {
  const answer = {
    start_utc_us: NOON, end_utc_us: NOON + HOUR, buckets: [],
    spans: [{ start_utc_us: NOON, end_utc_us: NOON + HOUR / 4 }, { start_utc_us: NOON + HOUR / 2, end_utc_us: NOON + HOUR }],
    gaps: [{ start_utc_us: NOON + HOUR / 4, end_utc_us: NOON + HOUR / 2, cause: "connection" }],
  };
  it("says the share of each column", () => {
    const view = { startUs: NOON - HOUR / 8, endUs: NOON + HOUR - HOUR / 8 };
    expect([...new Coverage(answer).columns(view, 4)]).toEqual([0.5, 0.5, 0.5, 1]);
  });
  it("says nothing of what was not asked", () => {
    const shares = new Coverage(answer).columns({ startUs: NOON - HOUR, endUs: NOON + HOUR }, 4);
    expect([Number.isNaN(shares[0]), Number.isNaN(shares[1]), shares[2], shares[3]]).toEqual([true, true, 0.5, 1]);
  });
  it("takes slices for long times", () => {
    const coverage = new Coverage({ ...answer, spans: [], buckets: [4, 0, 2, 4].map((part) => ({ covered_us: (part * HOUR) / 16 })) });
    expect(coverage.isExact).toBe(false);
    expect([...coverage.columns({ startUs: NOON, endUs: NOON + HOUR }, 2)]).toEqual([0.5, 0.75]);
  });
  it("does not take for a hole what is not there yet", () => {
    const late = { start_utc_us: NOON + HOUR * 0.9, end_utc_us: NOON + HOUR, cause: "not_yet" };
    const coverage = new Coverage({ ...answer, gaps: [...answer.gaps, late] });
    expect(coverage.nextHole(NOON + HOUR / 2)).toBeNull();
    expect(coverage.holeAt(NOON + HOUR * 0.95)?.cause).toBe("not_yet");
  });
  it("finds holes", () => {
    const coverage = new Coverage(answer);
    expect(coverage.holeAt(NOON + HOUR / 3)?.cause).toBe("connection");
    expect(coverage.holeAt(NOON)).toBeNull();
    expect(coverage.nextHole(NOON)?.startUs).toBe(NOON + HOUR / 4);
    expect(coverage.nextHole(NOON + HOUR / 2)).toBeNull();
    expect(coverage.previousHole(NOON + HOUR)?.startUs).toBe(NOON + HOUR / 4);
  });
});
