// Where moments lie in a playlist, whose media time leaves holes out. Pure.

export type Piece = {
  /** Seconds of media time. */
  start: number;
  duration: number;
  utcUs: number;
};

/** Pieces whose times differ by less belong together: encoders are not exact. */
const SLACK_US = 350_000;

export class FootageMap {
  readonly #pieces: readonly Piece[];

  /** In the order of the playlist. */
  constructor(pieces: readonly Piece[]) {
    this.#pieces = pieces;
  }

  get isEmpty(): boolean {
    return this.#pieces.length === 0;
  }

  /** Media time of a moment; null in a hole. */
  toMedia(utcUs: number): number | null {
    const piece = this.#pieceAt(utcUs);
    if (!piece) return null;
    const into = (utcUs - piece.utcUs) / 1e6;
    if (into < 0 || into > piece.duration + SLACK_US / 1e6) return null;
    return piece.start + Math.min(into, piece.duration);
  }

  toUtc(media: number): number | null {
    let [low, high] = [0, this.#pieces.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#pieces[middle]!.start <= media + 1e-6) low = middle + 1;
      else high = middle;
    }
    const piece = this.#pieces[Math.max(0, low - 1)];
    return piece ? piece.utcUs + (media - piece.start) * 1e6 : null;
  }

  /** The last piece that begins at or before a moment. */
  #pieceAt(utcUs: number): Piece | undefined {
    let [low, high] = [0, this.#pieces.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#pieces[middle]!.utcUs <= utcUs + 1) low = middle + 1;
      else high = middle;
    }
    return this.#pieces[low - 1];
  }
}
