// Plays one camera's footage around a moment, following the review clock. hls.js comes with this file, which is
// loaded only when Review opens.

import Hls, { type ErrorData, type Fragment } from "hls.js/light";
import { playlistAddress, type Span } from "../api/addresses";
import type { StreamName } from "../api/types";
import { FootageMap } from "./footage-map";
import { inStep, type ReviewClock } from "./review-clock";

export type RecordedState = "loading" | "playing" | "hole" | "unplayable" | "failed";

const BEFORE_US = 60e6;
/** The access log says what was asked for, so no more than is likely to be looked at. */
const AFTER_US = 30 * 60e6;
/** Nearer than this to the end of what is loaded, the next stretch is asked for. */
const MARGIN_US = 20e6;
const RELOAD_NEWEST_MS = 8_000;
const MAP_MS = 400;
const RETRY_MS = 5_000;
const STARVED_MS = 3_000;

export class RecordedPlayer {
  state: RecordedState = "loading";
  readonly #video: HTMLVideoElement;
  readonly #camera: string;
  readonly #stream: StreamName;
  readonly #onState: (state: RecordedState) => void;
  #hls: Hls | null = null;
  #window: Span | null = null;
  #fragments: readonly Fragment[] = [];
  #loadedMs = 0;
  #isLoaded = false;
  #isNewest = false;
  #map = new FootageMap([]);
  #mapMs = 0;
  #recoveries = 0;
  #fedMs = 0;

  constructor(video: HTMLVideoElement, camera: string, stream: StreamName, onState: (state: RecordedState) => void) {
    this.#video = video;
    this.#camera = camera;
    this.#stream = stream;
    this.#onState = onState;
  }

  close(): void {
    this.#hls?.destroy();
    this.#hls = null;
  }

  /** Whether it plays, but has no picture for this moment yet. */
  get isWaiting(): boolean {
    if (this.state === "loading") return true;
    return this.state === "playing" && (this.#video.seeking || this.#video.readyState < 3);
  }

  /** Called for each frame of the page. `newestUs`: now, on the recorder. */
  follow(clock: ReviewClock, newestUs: number): void {
    if (this.state === "unplayable") return;
    const isDue = this.state === "failed" && performance.now() - this.#loadedMs > RETRY_MS;
    if (isDue || !this.#holds(clock.utcUs)) this.#load(clock.utcUs, newestUs);
    if (!this.#isLoaded) return;
    const wanted = this.#mapNow().toMedia(clock.utcUs);
    if (wanted === null) {
      this.#video.pause();
      this.#become("hole");
      return;
    }
    if (this.state !== "failed") this.#become("playing");
    this.#feed(wanted);
    if (this.#video.readyState === 0) return; // hls.js goes to where it was told to start by itself
    const move = inStep(clock, wanted, this.#video.currentTime, this.#video.seeking);
    if (move.kind === "play") {
      this.#video.playbackRate = move.rate;
      if (this.#video.paused) void this.#video.play().catch(() => undefined);
    } else {
      if (!this.#video.paused) this.#video.pause();
      if (move.kind === "seek") this.#video.currentTime = move.to;
    }
  }

  /** hls.js corrects the starts of fragments as it reads them, so the map is made anew now and then. */
  #mapNow(): FootageMap {
    const now = performance.now();
    if (now - this.#mapMs > MAP_MS) {
      this.#map = new FootageMap(piecesOf(this.#fragments));
      this.#mapMs = now;
    }
    return this.#map;
  }

  /** Loading that came to rest without a picture is begun anew. */
  #feed(wanted: number): void {
    const now = performance.now();
    if (this.#video.readyState >= 2) this.#fedMs = now;
    else if (now - this.#fedMs > STARVED_MS && now - this.#loadedMs > STARVED_MS) {
      this.#fedMs = now;
      this.#hls?.stopLoad();
      this.#hls?.startLoad(wanted);
    }
  }

  #become(state: RecordedState): void {
    if (this.state === state) return;
    this.state = state;
    this.#onState(state);
  }

  #holds(utcUs: number): boolean {
    const window = this.#window;
    if (!window || utcUs < window.startUs || utcUs >= window.endUs - MARGIN_US) return false;
    if (!this.#isNewest || !this.#isLoaded) return true;
    // The recorder lets the newest playlist grow; but not where there was no footage yet, or a segment had ended.
    const last = this.#fragments.at(-1);
    const endUs = last?.programDateTime ? (last.programDateTime + last.duration * 1000) * 1000 : window.startUs;
    return utcUs <= endUs || performance.now() - this.#loadedMs < RELOAD_NEWEST_MS;
  }

  #load(utcUs: number, newestUs: number): void {
    this.#hls?.destroy();
    this.#fragments = [];
    this.#isLoaded = false;
    this.#loadedMs = performance.now();
    this.#recoveries = 0;
    this.#isNewest = utcUs + AFTER_US >= newestUs;
    this.#window = { startUs: utcUs - BEFORE_US, endUs: utcUs + AFTER_US };
    this.#become("loading");
    const hls = new Hls({
      enableWorker: false, // a worker from a blob is not allowed by the page's policy
      maxBufferLength: 20,
      maxMaxBufferLength: 40,
      backBufferLength: 20,
      autoStartLoad: false,
    });
    this.#hls = hls;
    // A media playlist comes whole with the first event: so the first piece that is loaded is the right one.
    hls.on(Hls.Events.MANIFEST_LOADED, (_event, { levels }) => {
      const pieces = piecesOf(levels[0]?.details?.fragments ?? []);
      hls.startLoad(new FootageMap(pieces).toMedia(utcUs) ?? -1);
    });
    hls.on(Hls.Events.LEVEL_LOADED, (_event, { details }) => {
      this.#fragments = details.fragments;
      this.#isLoaded = true;
      this.#mapMs = 0;
    });
    hls.on(Hls.Events.LEVEL_UPDATED, (_event, { details }) => {
      this.#fragments = details.fragments;
      this.#mapMs = 0;
    });
    hls.on(Hls.Events.ERROR, (_event, error) => this.#failed(hls, error));
    hls.loadSource(playlistAddress(this.#camera, this.#stream, this.#window));
    hls.attachMedia(this.#video);
  }

  #failed(hls: Hls, { fatal: isFatal, details, response }: ErrorData): void {
    const isNothing = details === Hls.ErrorDetails.MANIFEST_LOAD_ERROR && response?.code === 404;
    if (isNothing || details === Hls.ErrorDetails.LEVEL_EMPTY_ERROR || details === Hls.ErrorDetails.LEVEL_PARSING_ERROR) {
      this.#isLoaded = true; // nothing recorded here
      return;
    }
    if (details === Hls.ErrorDetails.BUFFER_ADD_CODEC_ERROR || details === Hls.ErrorDetails.MANIFEST_INCOMPATIBLE_CODECS_ERROR) {
      this.#become("unplayable");
      return;
    }
    if (!isFatal) return;
    if (details === Hls.ErrorDetails.BUFFER_APPEND_ERROR || details === Hls.ErrorDetails.BUFFER_APPENDING_ERROR) {
      this.#recoveries += 1;
      if (this.#recoveries < 3) {
        hls.recoverMediaError();
        return;
      }
    }
    this.#become("failed");
  }
}

function piecesOf(fragments: readonly Fragment[]): { start: number; duration: number; utcUs: number }[] {
  return fragments
    .filter((fragment) => fragment.programDateTime !== null)
    .map((fragment) => ({ start: fragment.start, duration: fragment.duration, utcUs: fragment.programDateTime! * 1000 }));
}
