// Coverage of the cameras under review: a coarse picture of all 90 days at once, and the exact one of where a
// person looks, so that zooming never waits.

import { timelineAddress } from "../api/addresses";
import { get } from "../api/http";
import type { TimelineAnswer } from "../api/types";
import { Coverage } from "./coverage";
import { MOST_SPAN_US, spanOf, type View } from "./geometry";

const SETTLE_MS = 120;
/** Longer than this a view is drawn from the coarse picture. */
const MOST_EXACT_US = 4 * 86_400e6;
/** Half an hour each, of 90 days. */
const SLICES = 4_320;
const STALE_MS = 15_000;

type Known = { coarse: Coverage | null; exact: Coverage | null; coarseMs: number; exactMs: number };

export class Footage {
  #known = $state.raw<Record<string, Known>>({});
  #cameras: string[] = [];
  #view: View | null = null;
  #settling = 0;
  #asking: AbortController | null = null;
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** The best that is known of a view, to be drawn in this order. */
  layers(camera: string): Coverage[] {
    const known = this.#known[camera];
    return [known?.coarse, known?.exact].filter((one): one is Coverage => Boolean(one));
  }

  /** What is known of a moment. */
  at(camera: string, utcUs: number): Coverage | null {
    const known = this.#known[camera];
    const holds = (one: Coverage | null | undefined): one is Coverage =>
      Boolean(one && utcUs >= one.asked.startUs && utcUs < one.asked.endUs);
    return holds(known?.exact) ? known.exact : holds(known?.coarse) ? known.coarse : null;
  }

  coarse(camera: string): Coverage | null {
    return this.#known[camera]?.coarse ?? null;
  }

  look(cameras: string[], view: View): void {
    this.#cameras = cameras;
    this.#view = view;
    clearTimeout(this.#settling);
    this.#settling = window.setTimeout(() => void this.#ask(), SETTLE_MS);
  }

  close(): void {
    clearTimeout(this.#settling);
    this.#asking?.abort();
  }

  async #ask(): Promise<void> {
    const view = this.#view;
    if (!view) return;
    this.#asking?.abort();
    const asking = (this.#asking = new AbortController());
    await Promise.all(this.#cameras.map((camera) => this.#askFor(camera, view, asking.signal).catch(() => undefined)));
  }

  async #askFor(camera: string, view: View, signal: AbortSignal): Promise<void> {
    const now = this.#now();
    const known = this.#known[camera];
    const span = spanOf(view);
    if (span <= MOST_EXACT_US && !isEnough(known, view)) {
      const exact = await this.#fetch(camera, { startUs: view.startUs - span, endUs: Math.min(view.endUs + span, now) }, signal);
      this.#learn(camera, { exact, exactMs: performance.now() });
    }
    if (!known?.coarse || performance.now() - known.coarseMs > 4 * STALE_MS) {
      const coarse = await this.#fetch(camera, { startUs: now - MOST_SPAN_US, endUs: now }, signal, SLICES);
      this.#learn(camera, { coarse, coarseMs: performance.now() });
    }
  }

  async #fetch(camera: string, span: View, signal: AbortSignal, slices = 0): Promise<Coverage> {
    return new Coverage(await get<TimelineAnswer>(timelineAddress(camera, "main", span, slices), signal));
  }

  #learn(camera: string, more: Partial<Known>): void {
    const before = this.#known[camera] ?? { coarse: null, exact: null, coarseMs: 0, exactMs: 0 };
    this.#known = { ...this.#known, [camera]: { ...before, ...more } };
  }
}

function isEnough(known: Known | undefined, view: View): boolean {
  const exact = known?.exact;
  if (!known || !exact?.isExact || performance.now() - known.exactMs > STALE_MS) return false;
  return view.startUs >= exact.asked.startUs && view.endUs <= exact.asked.endUs + 1e6;
}
