// Staying at the live edge: what to do at a moment, from what is buffered and where the player stands. Pure.
//
// A little behind: play a little faster, which nobody sees. Far behind, or in a hole: jump.

export type Range = { start: number; end: number };
export type Move = { rate: number; seekTo: number | null };

/** Pictures come one by one; this much in hand rides out their unevenness. */
export const TARGET_S = 0.35;
const HURRY_S = 0.6;
const RUN_S = 1.0;
const JUMP_S = 1.5;
const SCARCE_S = 0.12;
/** Nearer than this to the end of a stretch that is not the last one, the player would wait forever. */
const END_OF_STRETCH_S = 0.1;

export function follow(position: number, ranges: readonly Range[]): Move {
  const newest = ranges.at(-1);
  if (!newest) return { rate: 1, seekTo: null };
  const wanted = Math.max(newest.start, newest.end - TARGET_S);
  const here = ranges.find((range) => position >= range.start - 0.001 && position <= range.end + 0.001);
  if (!here) return { rate: 1, seekTo: wanted };
  const behind = newest.end - position;
  if (behind > JUMP_S) return { rate: 1, seekTo: wanted };
  if (here !== newest && here.end - position < END_OF_STRETCH_S) return { rate: 1, seekTo: wanted };
  if (behind > RUN_S) return { rate: 1.25, seekTo: null };
  if (behind > HURRY_S) return { rate: 1.1, seekTo: null };
  if (behind < SCARCE_S) return { rate: 0.95, seekTo: null };
  return { rate: 1, seekTo: null };
}

const KEEP_BEHIND_S = 6;
const TRIM_FROM_S = 14;

/** What of the buffer to let go, if it is worth the work. */
export function trim(position: number, ranges: readonly Range[]): Range | null {
  const oldest = ranges[0];
  if (!oldest || position - oldest.start < TRIM_FROM_S) return null;
  return { start: 0, end: position - KEEP_BEHIND_S };
}

export function rangesOf(buffered: TimeRanges): Range[] {
  return Array.from({ length: buffered.length }, (_none, index) => ({ start: buffered.start(index), end: buffered.end(index) }));
}
