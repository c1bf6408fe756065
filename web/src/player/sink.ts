// One SourceBuffer and what waits for it. A SourceBuffer takes one operation at a time; everything goes through
// this queue in order.

import { rangesOf, type Range } from "./edge";

type Operation =
  | { kind: "begin"; mime: string; offsetS: number }
  | { kind: "append"; data: ArrayBuffer }
  | { kind: "remove"; range: Range };

const MOST_WAITING = 600;

export class Sink {
  readonly #buffer: SourceBuffer;
  readonly #onFailure: (error: unknown) => void;
  readonly #onGrown: () => void;
  readonly #position: () => number;
  #waiting: Operation[] = [];
  #mime: string;
  #isClosed = false;

  constructor(source: MediaSource, mime: string, position: () => number, onGrown: () => void, onFailure: (error: unknown) => void) {
    this.#buffer = source.addSourceBuffer(mime);
    this.#mime = mime;
    this.#position = position;
    this.#onGrown = onGrown;
    this.#onFailure = onFailure;
    this.#buffer.addEventListener("updateend", this.#done);
    this.#buffer.addEventListener("error", this.#failed);
  }

  /** What follows is of another segment: its times are moved by so much. */
  begin(mime: string, offsetS: number): void {
    this.#put({ kind: "begin", mime, offsetS });
  }

  append(data: ArrayBuffer): void {
    this.#put({ kind: "append", data });
  }

  remove(range: Range): void {
    if (!this.#waiting.some((operation) => operation.kind === "remove")) this.#put({ kind: "remove", range });
  }

  ranges(): Range[] {
    try {
      return rangesOf(this.#buffer.buffered);
    } catch {
      return []; // taken from its media source meanwhile
    }
  }

  close(): void {
    this.#isClosed = true;
    this.#waiting = [];
    this.#buffer.removeEventListener("updateend", this.#done);
    this.#buffer.removeEventListener("error", this.#failed);
  }

  #put(operation: Operation): void {
    this.#waiting.push(operation);
    if (this.#waiting.length > MOST_WAITING) this.#failed(new Error("the browser takes no more pictures"));
    else this.#next();
  }

  readonly #failed = (error: unknown): void => {
    if (this.#isClosed) return;
    this.close();
    this.#onFailure(error);
  };

  readonly #done = (): void => {
    this.#next();
    if (!this.#isClosed && !this.#buffer.updating) this.#onGrown();
  };

  readonly #next = (): void => {
    while (!this.#isClosed && !this.#buffer.updating) {
      const operation = this.#waiting.shift();
      if (!operation) return;
      try {
        this.#do(operation);
      } catch (error) {
        if (isFull(error) && operation.kind === "append" && this.#makeRoom(operation)) continue;
        this.#failed(error);
      }
    }
  };

  #do(operation: Operation): void {
    if (operation.kind === "append") {
      this.#buffer.appendBuffer(operation.data);
    } else if (operation.kind === "remove") {
      this.#buffer.remove(operation.range.start, operation.range.end);
    } else {
      // The last segment may have ended within a fragment, when a connection broke: begin with a clean parser.
      this.#buffer.abort();
      if (operation.mime !== this.#mime) this.#buffer.changeType(operation.mime);
      this.#mime = operation.mime;
      this.#buffer.timestampOffset = operation.offsetS;
    }
  }

  /** Lets go of what was seen, then tries once more. */
  #makeRoom(operation: Operation): boolean {
    const oldest = this.ranges()[0];
    const end = this.#position() - 1;
    if (!oldest || end <= oldest.start) return false;
    this.#waiting.unshift({ kind: "remove", range: { start: 0, end } }, operation);
    return true;
  }
}

function isFull(error: unknown): boolean {
  return error instanceof Error && error.name === "QuotaExceededError";
}
