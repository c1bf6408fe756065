// How long to wait before the next try: doubling, and by chance, so that a wall of tiles does not knock as one.

const FIRST_MS = 500;
const MOST_MS = 15_000;

/** `tries` without success so far, from 1 on. `chance`: 0 to 1. */
export function waitMs(tries: number, chance: number): number {
  const most = Math.min(MOST_MS, FIRST_MS * 2 ** Math.max(0, tries - 1));
  return Math.round(most / 2 + (most / 2) * chance);
}
