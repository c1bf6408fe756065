// Staying at the live edge: what to do at a moment, from what is buffered and where the player stands. Pure.
//
// A little behind: play a little faster, which nobody sees. Far behind, or in a hole: jump.

export type Range = { start: number; end: number };
export type Move = { rate: number; seekTo: number | null };

/** At first so much is kept in hand; a player that runs dry keeps more, and tries less again after a calm while. */
export const LEAST_S = 0.1;
export const MOST_S = 0.8;
const MORE = 1.6;
const LESS = 0.9;
const CALM_S = 20;
const DRY_S = 0.02;
const HARDLY_S = 0.02;
const A_LITTLE_S = 0.15;
const MUCH_S = 0.6;
const TOO_NEAR_S = 0.06;
const JUMP_S = 1.5;
/** Nearer than this to the end of a stretch that is not the last one, the player would wait forever. */
const END_OF_STRETCH_S = 0.1;
/** Pictures further apart than this are no rhythm. */
const SLOWEST_S = 1;

export class Edge {
  #inHand = LEAST_S;
  #picture = 0;
  #newest = 0;
  #calmSince = 0;
  #isDry = false;

  /** How far behind the end of the buffer the player is kept: one picture, and what is kept in hand. */
  get targetS(): number {
    return Math.min(this.#picture + this.#inHand, MOST_S + SLOWEST_S);
  }

  /** What to do now. Called for every append and a few times a second. */
  follow(position: number, ranges: readonly Range[], nowS: number): Move {
    const newest = ranges.at(-1);
    if (!newest) return { rate: 1, seekTo: null };
    this.#learn(newest.end);
    const wanted = Math.max(newest.start, newest.end - this.targetS);
    const here = ranges.find((range) => position >= range.start - 0.001 && position <= range.end + 0.001);
    if (!here) return { rate: 1, seekTo: wanted };
    const behind = newest.end - position;
    if (behind > JUMP_S + this.targetS) return { rate: 1, seekTo: wanted };
    if (here !== newest && here.end - position < END_OF_STRETCH_S) return { rate: 1, seekTo: wanted };
    this.#adapt(behind, nowS);
    const tooFar = behind - this.targetS;
    if (tooFar > MUCH_S) return { rate: 1.25, seekTo: null };
    if (tooFar > A_LITTLE_S) return { rate: 1.08, seekTo: null };
    if (tooFar > HARDLY_S) return { rate: 1.03, seekTo: null };
    if (tooFar < -TOO_NEAR_S) return { rate: 0.96, seekTo: null };
    return { rate: 1, seekTo: null };
  }

  /** How far pictures are apart, from how the buffer grows; slow to shorten, so that one gap in two counts. */
  #learn(end: number): void {
    const grown = end - this.#newest;
    if (this.#newest && grown > 0.001 && grown < SLOWEST_S) {
      this.#picture += (grown - this.#picture) * (grown > this.#picture ? 0.5 : 0.1);
    }
    this.#newest = end;
  }

  #adapt(behind: number, nowS: number): void {
    const isDry = behind < DRY_S;
    if (isDry && !this.#isDry) {
      this.#inHand = Math.min(this.#inHand * MORE, MOST_S);
      this.#calmSince = nowS;
    } else if (nowS - this.#calmSince > CALM_S) {
      this.#inHand = Math.max(this.#inHand * LESS, LEAST_S);
      this.#calmSince = nowS;
    }
    this.#isDry = isDry;
  }
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
