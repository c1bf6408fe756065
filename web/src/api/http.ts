// Asking the recorder. Every failure becomes a Problem: what happened, what it means, what to do.

import { isKey, t } from "../words/words.svelte";

const PATIENCE_MS = 15_000;

export class Problem extends Error {
  constructor(
    /** A stable word of the recorder's (RFC 9457), or `no-contact`. */
    readonly type: string,
    readonly title: string,
    readonly detail: string,
    readonly advice: string,
    readonly status: number,
    /** When to try again, if the recorder said so. */
    readonly retryAfterS = 0,
  ) {
    super(title);
  }

  /** In the chosen language where the catalogue knows the word, else as the recorder says it. */
  get words(): { title: string; advice: string } {
    const [title, advice] = [`problem_${this.type}`, `problem_${this.type}_advice`];
    return {
      title: isKey(title) ? t(title) : this.title,
      advice: isKey(advice) ? t(advice) : isKey(title) ? "" : [this.detail, this.advice].filter(Boolean).join(" · "),
    };
  }
}

export function asProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  return new Problem("bug", error instanceof Error ? error.message : String(error), "", "", 0);
}

let whenSignedOut: () => void = () => {};

/** What to do when the recorder no longer knows the session. */
export function onSignedOut(action: () => void): void {
  whenSignedOut = action;
}

async function problemOf(answer: Response): Promise<Problem> {
  let said: Record<string, unknown> = {};
  try {
    said = (await answer.json()) as Record<string, unknown>;
  } catch {
    // not from the recorder, then; the status must do
  }
  const text = (name: string): string => (typeof said[name] === "string" ? said[name] : "");
  return new Problem(
    text("type") || `http-${answer.status}`,
    text("title") || `HTTP ${answer.status}`,
    text("detail"),
    text("advice"),
    answer.status,
    Number(answer.headers.get("retry-after")) || 0,
  );
}

type Method = "GET" | "POST" | "PATCH" | "DELETE";

export async function ask<T>(method: Method, path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  const patience = AbortSignal.timeout(PATIENCE_MS);
  let answer: Response;
  try {
    answer = await fetch(path, {
      method,
      credentials: "same-origin",
      headers: body === undefined ? { accept: "application/json" } : { accept: "application/json", "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: signal ? AbortSignal.any([signal, patience]) : patience,
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem("no-contact", "The recorder does not answer", "", "", 0);
  }
  if (!answer.ok) {
    const problem = await problemOf(answer);
    if (problem.type === "not-signed-in") whenSignedOut();
    throw problem;
  }
  const text = await answer.text();
  return (text ? JSON.parse(text) : undefined) as T;
}

export const get = <T>(path: string, signal?: AbortSignal): Promise<T> => ask<T>("GET", path, undefined, signal);
export const post = <T = void>(path: string, body: unknown = {}): Promise<T> => ask<T>("POST", path, body);
export const patch = <T = void>(path: string, body: unknown): Promise<T> => ask<T>("PATCH", path, body);
export const remove = (path: string): Promise<void> => ask<void>("DELETE", path);
