// The one clock that all cameras under review follow. It runs in the footage's time, through holes too. Pure:
// the time that passes is told.

export class ReviewClock {
  utcUs: number;
  speed = 1;
  isPlaying = false;
  /** While a camera still loads, the others wait for it. */
  isHeld = false;

  constructor(utcUs: number) {
    this.utcUs = utcUs;
  }

  /** Moves on; stops at `mostUs`, the newest footage there can be. Whether it stands at that end. */
  pass(elapsedMs: number, mostUs: number): boolean {
    if (this.isPlaying && !this.isHeld) this.utcUs += elapsedMs * 1000 * this.speed;
    if (this.utcUs < mostUs) return false;
    this.utcUs = mostUs;
    return true;
  }
}

export const SPEEDS = [0.125, 0.25, 0.5, 1, 2, 4, 8, 16, 32] as const;

/** Faster than this browsers refuse to play, or stutter: then it goes from picture to picture. */
export const MOST_PLAYED_SPEED = 8;

export function faster(speed: number): number {
  return SPEEDS.find((one) => one > speed) ?? SPEEDS.at(-1)!;
}

export function slower(speed: number): number {
  return SPEEDS.findLast((one) => one < speed) ?? SPEEDS[0];
}

export type Follow =
  | { kind: "seek"; to: number }
  | { kind: "play"; rate: number }
  | { kind: "stay" };

/** What a camera's player does to stay in step. `wanted`, `position`: media time in seconds. */
export function inStep(
  clock: { speed: number; isPlaying: boolean; isHeld: boolean },
  wanted: number,
  position: number,
  isSeeking: boolean,
): Follow {
  const ahead = position - wanted;
  if (!clock.isPlaying || clock.speed > MOST_PLAYED_SPEED) {
    const near = clock.isPlaying ? 0.2 : 0.004;
    return isSeeking || Math.abs(ahead) < near ? { kind: "stay" } : { kind: "seek", to: wanted };
  }
  if (clock.isHeld) return Math.abs(ahead) > 0.5 && !isSeeking ? { kind: "seek", to: wanted } : { kind: "stay" };
  if (Math.abs(ahead) > 0.4 * Math.max(1, clock.speed)) return isSeeking ? { kind: "stay" } : { kind: "seek", to: wanted };
  // A little off: a little faster or slower, which nobody sees.
  const correction = Math.abs(ahead) < 0.03 ? 0 : Math.max(-0.15, Math.min(0.15, -ahead * 0.5));
  return { kind: "play", rate: clock.speed * (1 + correction) };
}
