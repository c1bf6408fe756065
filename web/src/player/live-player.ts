// Plays one live stream in one <video>: WebSocket in, Media Source out, at the live edge.
//
// Everything that is of the browser comes in through `Surroundings`, so that tests drive it without one.

import type { Both } from "../words/words.svelte";
import { waitMs } from "./backoff";
import { Edge, trim } from "./edge";
import { readMessage, type SegmentMessage } from "./messages";
import { Sink } from "./sink";

export type LiveState =
  | { kind: "connecting" }
  | { kind: "playing" }
  /** Connected, but no picture for a while. */
  | { kind: "waiting" }
  | { kind: "away"; what: Both; advice: Both }
  | { kind: "unplayable"; codec: string }
  | { kind: "reconnecting"; tries: number }
  | { kind: "refused" }
  | { kind: "stopped" };

export type LiveFacts = { width: number; height: number; codec: string; atUtcUs: number | null; behindS: number };

/** The part of a <video> that is used. */
export type Screen = {
  currentTime: number;
  playbackRate: number;
  readonly paused: boolean;
  play(): Promise<void>;
  attach(source: MediaSource): void;
  detach(): void;
};

export type Surroundings = {
  connect(address: string): WebSocket;
  makeSource(): MediaSource;
  canPlay(mime: string): boolean;
  nowMs(): number;
  later(action: () => void, ms: number): number;
  cancel(timer: number): void;
  chance(): number;
};

const STEP_MS = 250;
const QUIET_MS = 3_000;
/** A line that was cut without a word: the socket would stay open for many minutes. */
const SILENT_MS = 20_000;
const SILENT_AWAY_MS = 90_000;
/** Close codes by which the recorder says that trying again is of no use (RFC 6455: 4000 and up are ours). */
const REFUSALS: readonly number[] = [1008, 4401, 4403, 4404];
const MOST_BROKEN = 5;

export class LivePlayer {
  state: LiveState = { kind: "connecting" };
  readonly #address: string;
  readonly #screen: Screen;
  readonly #around: Surroundings;
  readonly #onState: (state: LiveState) => void;
  #socket: WebSocket | null = null;
  #source: MediaSource | null = null;
  #sink: Sink | null = null;
  readonly #edge = new Edge();
  #segment: SegmentMessage | null = null;
  /** UTC of the player's time 0. */
  #baseUtcUs = 0;
  /** What came before the media source was open. */
  #early: ArrayBuffer[] = [];
  #tries = 0;
  #broken = 0;
  #heardMs = 0;
  #pictureMs = 0;
  #step = 0;
  #retry = 0;

  constructor(address: string, screen: Screen, around: Surroundings, onState: (state: LiveState) => void) {
    this.#address = address;
    this.#screen = screen;
    this.#around = around;
    this.#onState = onState;
  }

  start(): void {
    this.#connect();
    this.#tick();
  }

  stop(): void {
    this.#around.cancel(this.#step);
    this.#around.cancel(this.#retry);
    this.#hangUp();
    this.#drop();
    this.#become({ kind: "stopped" });
  }

  facts(): LiveFacts {
    const newest = this.#sink?.ranges().at(-1);
    return {
      width: this.#segment?.width ?? 0,
      height: this.#segment?.height ?? 0,
      codec: this.#segment?.codec ?? "",
      atUtcUs: newest ? this.#baseUtcUs + this.#screen.currentTime * 1e6 : null,
      behindS: newest ? newest.end - this.#screen.currentTime : 0,
    };
  }

  #become(state: LiveState): void {
    const same = this.state.kind === state.kind && state.kind !== "away" && state.kind !== "reconnecting";
    this.state = state;
    if (!same) this.#onState(state);
  }

  // The socket

  #connect(): void {
    const socket = this.#around.connect(this.#address);
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    this.#heardMs = this.#around.nowMs();
    socket.onmessage = (event: MessageEvent<string | ArrayBuffer>) => {
      this.#heardMs = this.#around.nowMs();
      this.#tries = 0;
      if (typeof event.data === "string") this.#takeText(event.data);
      else this.#takeBytes(event.data);
    };
    socket.onclose = (event: CloseEvent) => {
      if (this.#socket !== socket) return;
      this.#socket = null;
      if (REFUSALS.includes(event.code)) this.#become({ kind: "refused" });
      else this.#tryAgain();
    };
  }

  #hangUp(): void {
    const socket = this.#socket;
    this.#socket = null;
    if (socket) {
      socket.onmessage = socket.onclose = null;
      socket.close();
    }
  }

  #tryAgain(): void {
    this.#hangUp();
    this.#segment = null;
    this.#tries += 1;
    this.#become({ kind: "reconnecting", tries: this.#tries });
    this.#around.cancel(this.#retry);
    this.#retry = this.#around.later(() => this.#connect(), waitMs(this.#tries, this.#around.chance()));
  }

  #takeText(text: string): void {
    const message = readMessage(text);
    if (message?.kind === "segment") this.#begin(message);
    else if (message?.kind === "state" && message.isAway) this.#become({ kind: "away", what: message.what, advice: message.advice });
    else if (message?.kind === "state" && this.state.kind === "away") this.#become({ kind: "waiting" });
    // "skipped": a segment's message and a key frame follow, and the live edge is found as after any hole.
  }

  #takeBytes(data: ArrayBuffer): void {
    if (!this.#segment || this.state.kind === "unplayable") return;
    if (this.#sink) this.#sink.append(data);
    else this.#early.push(data);
    this.#pictureMs = this.#around.nowMs();
  }

  // Media Source

  #begin(segment: SegmentMessage): void {
    const before = this.#segment;
    this.#segment = segment;
    if (!this.#around.canPlay(segment.mime)) {
      this.#drop();
      this.#become({ kind: "unplayable", codec: segment.codec });
      return;
    }
    if (this.state.kind === "unplayable") this.#become({ kind: "connecting" });
    // A segment from before the first one cannot be placed, and one from before the last one would lie over
    // pictures that are newer in truth: the recorder's clock was set back. Begin anew.
    const goesBack = segment.startUtcUs < this.#baseUtcUs || (before !== null && segment.startUtcUs < before.startUtcUs);
    if (this.#source && goesBack) this.#drop();
    if (!this.#source) this.#open(segment);
    else this.#sink?.begin(segment.mime, (segment.startUtcUs - this.#baseUtcUs) / 1e6);
    // Whatever waits for a source that is still opening belongs to a segment that is over.
    if (!this.#sink) {
      this.#early = [];
      this.#baseUtcUs = segment.startUtcUs;
    }
  }

  #open(segment: SegmentMessage): void {
    const source = this.#around.makeSource();
    this.#source = source;
    this.#baseUtcUs = segment.startUtcUs;
    this.#early = [];
    source.addEventListener("sourceopen", () => this.#opened(source), { once: true });
    this.#screen.attach(source);
  }

  #opened(source: MediaSource): void {
    if (this.#source !== source || !this.#segment) return;
    try {
      const position = (): number => this.#screen.currentTime;
      this.#sink = new Sink(source, this.#segment.mime, position, () => this.#keepUp(), () => this.#fail());
    } catch {
      this.#become({ kind: "unplayable", codec: this.#segment.codec });
      return;
    }
    for (const data of this.#early) this.#sink.append(data);
    this.#early = [];
  }

  #drop(): void {
    this.#sink?.close();
    this.#sink = null;
    if (this.#source) this.#screen.detach();
    this.#source = null;
    this.#early = [];
  }

  /** The decoder or the buffer gave up: a new one, after a wait; not for ever. */
  #fail(): void {
    this.#broken += 1;
    const codec = this.#segment?.codec ?? "";
    this.#drop();
    if (this.#broken > MOST_BROKEN) {
      this.#hangUp();
      this.#become({ kind: "unplayable", codec });
    } else {
      this.#tryAgain();
    }
  }

  /** The <video> met an error that its source buffer did not tell. */
  screenFailed(): void {
    if (this.#source) this.#fail();
  }

  /** A picture is on the screen. */
  pictureShown(): void {
    this.#broken = 0;
    if (this.state.kind === "connecting" || this.state.kind === "waiting" || this.state.kind === "reconnecting") {
      if (this.#socket && this.#segment) this.#become({ kind: "playing" });
    } else if (this.state.kind === "away" && this.#around.nowMs() - this.#pictureMs < STEP_MS * 2) {
      this.#become({ kind: "playing" });
    }
  }

  // Four times a second

  #tick(): void {
    this.#step = this.#around.later(() => this.#tick(), STEP_MS);
    const now = this.#around.nowMs();
    const patience = this.state.kind === "away" ? SILENT_AWAY_MS : SILENT_MS;
    if (this.#socket && now - this.#heardMs > patience) {
      this.#tryAgain();
      return;
    }
    if (this.state.kind === "playing" && now - this.#pictureMs > QUIET_MS) this.#become({ kind: "waiting" });
    this.#keepUp();
  }

  #keepUp(): void {
    const ranges = this.#sink?.ranges();
    if (!ranges?.length || !this.#sink) return;
    const move = this.#edge.follow(this.#screen.currentTime, ranges, this.#around.nowMs() / 1000);
    if (move.seekTo !== null) this.#screen.currentTime = move.seekTo;
    if (this.#screen.playbackRate !== move.rate) this.#screen.playbackRate = move.rate;
    if (this.#screen.paused) void this.#screen.play().catch(() => undefined);
    const past = trim(this.#screen.currentTime, ranges);
    if (past) this.#sink.remove(past);
  }
}
