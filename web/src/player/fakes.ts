// A browser that tests drive by hand: media source, socket, screen and time.

import type { Screen, Surroundings } from "./live-player";

export class FakeSourceBuffer extends EventTarget {
  updating = false;
  done: string[] = [];
  ranges: { start: number; end: number }[] = [];
  /** Thrown by the next append. */
  refusal: Error | null = null;
  #offset = 0;

  get buffered(): TimeRanges {
    return { length: this.ranges.length, start: (at) => this.ranges[at]!.start, end: (at) => this.ranges[at]!.end };
  }
  get timestampOffset(): number {
    return this.#offset;
  }
  set timestampOffset(seconds: number) {
    if (this.updating) throw new Error("InvalidStateError");
    this.#offset = seconds;
    this.done.push(`offset ${seconds}`);
  }
  abort(): void {
    this.done.push("abort");
  }
  changeType(mime: string): void {
    this.done.push(`type ${mime}`);
  }
  appendBuffer(data: ArrayBuffer): void {
    if (this.updating) throw new Error("InvalidStateError");
    const refusal = this.refusal;
    this.refusal = null;
    if (refusal) throw refusal;
    this.done.push(`append ${data.byteLength}`);
    this.updating = true;
  }
  remove(start: number, end: number): void {
    if (this.updating) throw new Error("InvalidStateError");
    this.done.push(`remove ${start} ${end}`);
    this.updating = true;
  }
  /** The browser finished what it was doing. */
  finish(): void {
    this.updating = false;
    this.dispatchEvent(new Event("updateend"));
  }
}

export class FakeMediaSource extends EventTarget {
  buffers: FakeSourceBuffer[] = [];
  addSourceBuffer(): FakeSourceBuffer {
    const buffer = new FakeSourceBuffer();
    this.buffers.push(buffer);
    return buffer;
  }
  open(): FakeSourceBuffer {
    this.dispatchEvent(new Event("sourceopen"));
    return this.buffers[0]!;
  }
}

export class FakeSocket {
  binaryType = "";
  isClosed = false;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: ((event: { code: number }) => void) | null = null;
  close(): void {
    this.isClosed = true;
  }
  say(message: unknown): void {
    this.onmessage?.({ data: JSON.stringify(message) });
  }
  send(bytes: number): void {
    this.onmessage?.({ data: new ArrayBuffer(bytes) });
  }
  break(code = 1006): void {
    this.onclose?.({ code });
  }
}

export class FakeScreen implements Screen {
  currentTime = 0;
  playbackRate = 1;
  paused = true;
  source: MediaSource | null = null;
  async play(): Promise<void> {
    this.paused = false;
  }
  attach(source: MediaSource): void {
    this.source = source;
  }
  detach(): void {
    this.source = null;
  }
}

export class FakeBrowser implements Surroundings {
  sockets: FakeSocket[] = [];
  sources: FakeMediaSource[] = [];
  playable = true;
  #now = 0;
  #next = 1;
  #timers = new Map<number, { at: number; action: () => void }>();

  connect(): WebSocket {
    const socket = new FakeSocket();
    this.sockets.push(socket);
    return socket as unknown as WebSocket;
  }
  makeSource(): MediaSource {
    const source = new FakeMediaSource();
    this.sources.push(source);
    return source as unknown as MediaSource;
  }
  canPlay(): boolean {
    return this.playable;
  }
  nowMs(): number {
    return this.#now;
  }
  later(action: () => void, ms: number): number {
    this.#timers.set(this.#next, { at: this.#now + ms, action });
    return this.#next++;
  }
  cancel(timer: number): void {
    this.#timers.delete(timer);
  }
  chance(): number {
    return 1;
  }
  /** Lets time pass, doing what is due in order. */
  pass(ms: number): void {
    const until = this.#now + ms;
    for (;;) {
      const due = [...this.#timers].filter(([, timer]) => timer.at <= until).sort((a, b) => a[1].at - b[1].at)[0];
      if (!due) break;
      this.#timers.delete(due[0]);
      this.#now = due[1].at;
      due[1].action();
    }
    this.#now = until;
  }
  get waiting(): number {
    return this.#timers.size;
  }
}

/** The part of a <video> that a tile uses. */
export class FakeVideo extends EventTarget {
  currentTime = 0;
  playbackRate = 1;
  paused = true;
  error = null;
  src = "";
  disableRemotePlayback = false;
  #shown: (() => void)[] = [];

  async play(): Promise<void> {}
  load(): void {}
  removeAttribute(): void {}
  requestVideoFrameCallback(action: () => void): number {
    return this.#shown.push(action);
  }
  cancelVideoFrameCallback(handle: number): void {
    this.#shown[handle - 1] = () => undefined;
  }
  /** A picture is painted. */
  show(): void {
    const shown = this.#shown;
    this.#shown = [];
    for (const action of shown) action();
  }
}
