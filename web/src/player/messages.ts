// The text messages of the live WebSocket. Pure.

import type { Both } from "../words/words.svelte";

export type SegmentMessage = { kind: "segment"; codec: string; mime: string; startUtcUs: number; width: number; height: number };
export type SkippedMessage = { kind: "skipped" };
/** No picture came for a while: how the stream stands, with the reason if there is one. */
export type StateMessage = { kind: "state"; isAway: boolean; what: Both; advice: Both };
export type TextMessage = SegmentMessage | SkippedMessage | StateMessage;

/** Null for what is not understood: a newer recorder may say more. */
export function readMessage(text: string): TextMessage | null {
  let said: unknown;
  try {
    said = JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof said !== "object" || said === null) return null;
  const message = said as Record<string, unknown>;
  const { codec, mime, start_utc_us: start, width, height } = message;
  if (message["kind"] === "segment") {
    if (typeof mime !== "string" || typeof start !== "number" || !Number.isFinite(start)) return null;
    return {
      kind: "segment",
      codec: typeof codec === "string" ? codec : "",
      mime,
      startUtcUs: start,
      width: typeof width === "number" ? width : 0,
      height: typeof height === "number" ? height : 0,
    };
  }
  if (message["kind"] === "skipped") return { kind: "skipped" };
  if (message["kind"] === "state") {
    const { phase, what, advice } = message;
    return {
      kind: "state",
      isAway: phase !== "playing",
      what: wordsOf(what),
      advice: wordsOf(advice),
    };
  }
  return null;
}

function wordsOf(said: unknown): Both {
  const { en, vi } = typeof said === "object" && said !== null ? (said as Record<string, unknown>) : {};
  const english = typeof en === "string" ? en : "";
  return { en: english, vi: typeof vi === "string" ? vi : english };
}
