// The words a person sees, in the language chosen; Vietnamese unless the browser asks for English.

import { kept, keep } from "./kept";
import english from "./en.json";
import vietnamese from "./vi.json";

export type Language = "vi" | "en";
export type Key = keyof typeof vietnamese;
/** One text in both languages, as the recorder says it. */
export type Both = { vi: string; en: string };

const catalogues: Record<Language, Record<Key, string>> = { vi: vietnamese, en: english };

function firstLanguage(): Language {
  const chosen = kept("language");
  if (chosen === "vi" || chosen === "en") return chosen;
  const wanted = typeof navigator === "undefined" ? [] : navigator.languages;
  const first = wanted.find((tag) => /^(vi|en)\b/i.test(tag)) ?? "vi";
  return first.toLowerCase().startsWith("en") ? "en" : "vi";
}

const chosen = $state({ language: firstLanguage() });

export function language(): Language {
  return chosen.language;
}

export function chooseLanguage(language: Language): void {
  chosen.language = language;
  keep("language", language);
}

/** A text of the catalogue, with `{name}` replaced. */
export function t(key: Key, values: Record<string, string | number> = {}): string {
  return catalogues[chosen.language][key].replace(/\{(\w+)\}/g, (_all, name: string) => String(values[name] ?? ""));
}

export function isKey(text: string): text is Key {
  return text in vietnamese;
}

/** What the recorder says in both languages, or in one. */
export function said(words: Both | string | null | undefined): string {
  if (!words) return "";
  if (typeof words === "string") return words;
  return words[chosen.language] || words.en;
}

export function number(value: number, digits = 0): string {
  return new Intl.NumberFormat(chosen.language, { maximumFractionDigits: digits, minimumFractionDigits: digits }).format(value);
}

export function bytes(value: number): string {
  const units: [string, number][] = [["TB", 1e12], ["GB", 1e9], ["MB", 1e6], ["kB", 1e3]];
  for (const [unit, size] of units) {
    if (value >= size) return `${number(value / size, value >= 100 * size ? 0 : 1)} ${unit}`;
  }
  return `${number(value)} B`;
}

export function duration(us: number): string {
  const s = Math.max(0, Math.round(us / 1e6));
  if (s < 60) return t("seconds", { n: s });
  if (s < 3600) return s % 60 && s < 600 ? t("minutes_seconds", { n: Math.floor(s / 60), s: s % 60 }) : t("minutes", { n: Math.floor(s / 60) });
  if (s < 36000 && s % 3600 >= 60) return t("hours_minutes", { n: Math.floor(s / 3600), m: Math.floor((s % 3600) / 60) });
  if (s < 2 * 86400) return t("hours", { n: Math.floor(s / 3600) });
  return t("days", { n: Math.floor(s / 86400) });
}
