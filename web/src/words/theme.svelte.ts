// Light or dark: as the system, until a person chooses.

import { kept, keep } from "./kept";

export type Theme = "system" | "light" | "dark";

const first = kept("theme");
const chosen = $state<{ theme: Theme; isDark: boolean }>({
  theme: first === "light" || first === "dark" ? first : "system",
  isDark: false,
});
const system = matchMedia("(prefers-color-scheme: dark)");

function show(): void {
  chosen.isDark = chosen.theme === "system" ? system.matches : chosen.theme === "dark";
  document.documentElement.dataset["theme"] = chosen.isDark ? "dark" : "light";
}

system.addEventListener("change", show);
show();

export function theme(): Theme {
  return chosen.theme;
}

/** For what is drawn on a canvas and must be drawn anew. */
export function isDark(): boolean {
  return chosen.isDark;
}

export function chooseTheme(theme: Theme): void {
  chosen.theme = theme;
  keep("theme", theme);
  show();
}
