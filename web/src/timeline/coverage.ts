// What of a time is covered, as the timeline draws it. Pure.

import type { Gap, TimelineAnswer } from "../api/types";
import type { View } from "./geometry";

export type Stretch = { startUs: number; endUs: number };
export type Hole = Stretch & { cause: Gap["cause"] };

/** Not missing: not there yet, or before anything was recorded. */
const EXPECTED: readonly string[] = ["not_yet", "before_first"];
export const isMissing = (hole: Hole): boolean => !EXPECTED.includes(hole.cause);

export class Coverage {
  readonly asked: View;
  readonly spans: readonly Stretch[];
  readonly holes: readonly Hole[];
  /** The share covered, 0 to 1, of equal slices. */
  readonly #slices: readonly number[];

  constructor(answer: TimelineAnswer) {
    this.asked = { startUs: answer.start_utc_us, endUs: answer.end_utc_us };
    this.spans = answer.spans.map((span) => ({ startUs: span.start_utc_us, endUs: span.end_utc_us }));
    this.holes = answer.gaps.map((gap) => ({ startUs: gap.start_utc_us, endUs: gap.end_utc_us, cause: gap.cause }));
    const length = (answer.end_utc_us - answer.start_utc_us) / Math.max(1, answer.buckets.length);
    this.#slices = answer.buckets.map((bucket) => bucket.covered_us / length);
  }

  /** Whether it says span by span, not only slice by slice. */
  get isExact(): boolean {
    return this.#slices.length === 0;
  }

  /** The share covered (0 to 1) of each of `width` columns; NaN where nothing was asked. */
  columns(view: View, width: number): Float32Array {
    const shares = new Float32Array(width).fill(Number.NaN);
    const step = (view.endUs - view.startUs) / width;
    for (let x = 0; x < width; x += 1) {
      const start = view.startUs + x * step;
      if (start + step > this.asked.startUs && start < this.asked.endUs) shares[x] = 0;
    }
    if (this.isExact) {
      for (let at = this.#firstAfter(view.startUs); at < this.spans.length; at += 1) {
        const span = this.spans[at]!;
        if (span.startUs >= view.endUs) break;
        addSpan(shares, view, step, span.startUs, span.endUs, 1);
      }
    } else {
      const length = (this.asked.endUs - this.asked.startUs) / this.#slices.length;
      const from = Math.max(0, Math.floor((view.startUs - this.asked.startUs) / length));
      const to = Math.min(this.#slices.length, Math.ceil((view.endUs - this.asked.startUs) / length));
      for (let at = from; at < to; at += 1) {
        const start = this.asked.startUs + at * length;
        if (this.#slices[at]! > 0) addSpan(shares, view, step, start, start + length, this.#slices[at]!);
      }
    }
    return shares;
  }

  /** The hole in which a moment lies. */
  holeAt(utcUs: number): Hole | null {
    return this.holes.find((hole) => utcUs >= hole.startUs && utcUs < hole.endUs) ?? null;
  }

  nextHole(utcUs: number): Hole | null {
    return this.holes.find((hole) => isMissing(hole) && hole.startUs > utcUs + 1e6) ?? null;
  }

  previousHole(utcUs: number): Hole | null {
    return this.holes.findLast((hole) => isMissing(hole) && hole.startUs < utcUs - 1e6) ?? null;
  }

  #firstAfter(utcUs: number): number {
    let [low, high] = [0, this.spans.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.spans[middle]!.endUs <= utcUs) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function addSpan(shares: Float32Array, view: View, step: number, startUs: number, endUs: number, share: number): void {
  const from = Math.max(0, Math.floor((startUs - view.startUs) / step));
  const to = Math.min(shares.length, Math.ceil((endUs - view.startUs) / step));
  for (let x = from; x < to; x += 1) {
    const column = view.startUs + x * step;
    const overlap = Math.min(endUs, column + step) - Math.max(startUs, column);
    const before = Number.isNaN(shares[x]!) ? 0 : shares[x]!;
    if (overlap > 0) shares[x] = Math.min(1, before + (overlap / step) * share);
  }
}
