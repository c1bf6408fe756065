// The marks of the scale. Pure. Steps follow the clock of the place, so that days begin at its midnight.

import type { View } from "./geometry";

const S = 1e6;
const MINUTE = 60 * S;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const STEPS: readonly number[] = [
  0.1 * S, 0.2 * S, 0.5 * S, S, 2 * S, 5 * S, 10 * S, 15 * S, 30 * S, MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 15 * MINUTE,
  30 * MINUTE, HOUR, 2 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 7 * DAY, 14 * DAY,
];

export type TickKind = "tenth" | "second" | "minute" | "day";
export type Tick = { utcUs: number; isMidnight: boolean };
export type Ticks = { stepUs: number; kind: TickKind; marks: Tick[] };

/** `least`: pixels that a label needs. */
export function ticks(view: View, width: number, zoneOffsetUs: number, least = 72): Ticks {
  const span = view.endUs - view.startUs;
  const stepUs = STEPS.find((step) => (step / span) * width >= least) ?? 14 * DAY;
  const kind: TickKind = stepUs < S ? "tenth" : stepUs < MINUTE ? "second" : stepUs < DAY ? "minute" : "day";
  const marks: Tick[] = [];
  const first = Math.ceil((view.startUs + zoneOffsetUs) / stepUs);
  for (let index = first; ; index += 1) {
    const local = Math.round(index * stepUs);
    const utcUs = local - zoneOffsetUs;
    if (utcUs > view.endUs || marks.length > 400) break;
    marks.push({ utcUs, isMidnight: local % DAY === 0 });
  }
  return { stepUs, kind, marks };
}
