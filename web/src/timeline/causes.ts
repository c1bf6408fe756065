// Why there is no footage, in words.

import { t, type Key } from "../words/words.svelte";

const CAUSES: Record<string, Key> = {
  recovered: "cause_recovered",
  stopped: "cause_stopped",
  age: "cause_age",
  connection: "cause_connection",
  format: "cause_format",
  timeline: "cause_timeline",
  clock: "cause_clock",
  disk: "cause_disk",
  deleted: "cause_deleted",
  not_yet: "not_yet",
  before_first: "cause_before_first",
};

/** A word of a newer recorder that is not known here is told as it is. */
export function causeText(cause: string): string {
  if (cause === "unknown" || !cause) return t("cause_unknown");
  return CAUSES[cause] ? t(CAUSES[cause]) : cause;
}
