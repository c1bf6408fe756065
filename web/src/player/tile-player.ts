// What a tile shows: one stream, and for a moment a second one beneath it, so that going from the small to the
// main stream shows no black picture. The upper one goes when the lower has its first picture; if the main stream
// doesn't come, the small one plays on.

import type { StreamName } from "../api/types";
import { LivePlayer, type LiveFacts, type LiveState, type Surroundings } from "./live-player";
import { onEachPicture, screenOf } from "./surroundings";

export type TileView = {
  /** Which of the two <video>s is on top. */
  shown: 0 | 1;
  stream: StreamName | null;
  state: LiveState;
  hasPicture: boolean;
  /** Streams that this browser cannot decode. */
  unplayable: StreamName[];
};

type Running = {
  stream: StreamName;
  slot: 0 | 1;
  player: LivePlayer;
  hasPicture: boolean;
  pictures: number;
  close: () => void;
};

export class TilePlayer {
  readonly #videos: readonly [HTMLVideoElement, HTMLVideoElement];
  readonly #address: (stream: StreamName) => string;
  readonly #around: Surroundings;
  readonly #onView: (view: TileView) => void;
  #shown: Running | null = null;
  #next: Running | null = null;
  /** Was shown until a moment ago, and lies beneath the new one until that is painted. */
  #leaving: Running | null = null;
  readonly #unplayable = new Set<StreamName>();
  #rateFrom = { pictures: 0, ms: 0 };

  constructor(
    videos: readonly [HTMLVideoElement, HTMLVideoElement],
    address: (stream: StreamName) => string,
    around: Surroundings,
    onView: (view: TileView) => void,
  ) {
    this.#videos = videos;
    this.#address = address;
    this.#around = around;
    this.#onView = onView;
  }

  /** Null: nothing. */
  want(stream: StreamName | null): void {
    if (stream === null) {
      this.#end(this.#next);
      this.#end(this.#shown);
      this.#end(this.#leaving);
      this.#next = this.#shown = this.#leaving = null;
    } else if (!this.#shown) {
      this.#shown = this.#run(stream, 0);
    } else if (this.#shown.stream === stream) {
      this.#end(this.#next);
      this.#next = null;
    } else if (this.#next?.stream !== stream) {
      this.#end(this.#next);
      this.#next = this.#run(stream, this.#shown.slot === 0 ? 1 : 0);
    }
    this.#tell();
  }

  facts(): LiveFacts | null {
    return this.#shown?.player.facts() ?? null;
  }

  /** Pictures a second since the last call. */
  pictureRate(): number {
    const [now, pictures] = [this.#around.nowMs(), this.#shown?.pictures ?? 0];
    const before = this.#rateFrom;
    this.#rateFrom = { pictures, ms: now };
    return now > before.ms && pictures >= before.pictures ? ((pictures - before.pictures) * 1000) / (now - before.ms) : 0;
  }

  /** The <video> that is on top, if it has a picture. */
  video(): HTMLVideoElement | null {
    return this.#shown?.hasPicture ? this.#videos[this.#shown.slot] : null;
  }

  #run(stream: StreamName, slot: 0 | 1): Running {
    this.#end(this.#leaving);
    this.#leaving = null;
    const video = this.#videos[slot];
    const player = new LivePlayer(this.#address(stream), screenOf(video), this.#around, (state) => {
      if (state.kind === "unplayable") this.#unplayable.add(stream);
      this.#tell();
    });
    const failed = (): void => {
      if (video.error) player.screenFailed();
    };
    video.addEventListener("error", failed);
    const endPictures = onEachPicture(video, () => {
      running.pictures += 1;
      player.pictureShown();
      if (!running.hasPicture) {
        running.hasPicture = true;
        if (running === this.#next) this.#swap();
        this.#tell();
      }
    });
    const close = (): void => {
      endPictures();
      video.removeEventListener("error", failed);
    };
    const running: Running = { stream, slot, player, hasPicture: false, pictures: 0, close };
    player.start();
    return running;
  }

  #swap(): void {
    const before = (this.#leaving = this.#shown);
    this.#shown = this.#next;
    this.#next = null;
    this.#rateFrom = { pictures: 0, ms: this.#around.nowMs() };
    this.#tell();
    // The old picture stays until the new one is painted on top of it.
    this.#around.later(() => {
      if (!before || this.#leaving !== before) return;
      this.#end(before);
      this.#leaving = null;
    }, 150);
  }

  #end(running: Running | null): void {
    if (!running) return;
    running.close();
    running.player.stop();
  }

  #tell(): void {
    this.#onView({
      shown: this.#shown?.slot ?? 0,
      stream: this.#shown?.stream ?? null,
      state: this.#shown?.player.state ?? { kind: "stopped" },
      hasPicture: this.#shown?.hasPicture ?? false,
      unplayable: [...this.#unplayable],
    });
  }
}
