// Words for roles and kinds of access: what the recorder names with a stable word.

import type { Role } from "../api/types";
import { t, type Key } from "../words/words.svelte";

const ROLES: Record<Role, [Key, Key]> = {
  owner: ["role_owner", "role_owner_may"],
  viewer: ["role_viewer", "role_viewer_may"],
  maintainer: ["role_maintainer", "role_maintainer_may"],
};
export const ROLE_NAMES = Object.keys(ROLES) as Role[];
export const roleName = (role: Role): string => t(ROLES[role][0]);
export const roleMay = (role: Role): string => t(ROLES[role][1]);

const KINDS: Record<string, Key> = {
  live: "kind_live",
  playback: "kind_playback",
  still: "kind_still",
  export: "kind_export",
  sign_in: "kind_sign_in",
  refused: "kind_refused",
  account: "kind_account",
  end: "kind_end",
};
export const kindName = (kind: string): string => (KINDS[kind] ? t(KINDS[kind]) : kind);

/** "Chrome · Android" from what a browser says of itself; short, for a list. */
export function agentName(agent: string): string {
  const browser = /Edg\//.test(agent) ? "Edge" : /Firefox\//.test(agent) ? "Firefox" : /Chrome\//.test(agent) ? "Chrome" : /Safari\//.test(agent) ? "Safari" : "";
  const system = /Android/.test(agent) ? "Android" : /iPhone|iPad/.test(agent) ? "iOS" : /Windows/.test(agent) ? "Windows" : /Mac OS/.test(agent) ? "macOS" : /Linux/.test(agent) ? "Linux" : "";
  return [browser, system].filter(Boolean).join(" · ") || agent.slice(0, 40) || "?";
}
