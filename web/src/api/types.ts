// What the recorder answers, as far as this app uses it. Times are microseconds since 1970 UTC.

import type { Both } from "../words/words.svelte";

export type Role = "owner" | "viewer" | "maintainer";

export type Person = { name: string; role: Role; may_export: boolean; cameras: string[] | null };
export type Me = { is_set_up: boolean; person: Person | null; actions: string[] };

export type StreamName = "main" | "sub";
export type Camera = { id: string; name: string; streams: StreamName[]; is_enabled: boolean };

export type Trouble = { fault: string; what: Both; where: Both; advice: Both; since_utc_us: number };
export type Verdict = "recording" | "weak" | "starting" | "trouble" | "off";
export type StreamStatus = {
  stream: string;
  phase: string;
  codec: string;
  transport: string;
  width_px: number;
  height_px: number;
  fps: number;
  bits_per_s: number;
  lost_packets: number;
  last_frame_utc_us: number | null;
  next_try_utc_us: number | null;
};
export type CameraStatus = {
  id: string;
  name: string;
  verdict: Verdict;
  since_utc_us: number;
  reason: Both;
  trouble: Trouble | null;
  streams: StreamStatus[];
  guaranteed_days: number;
  coverage: [number, number, "full" | "part" | "hurt"][];
  covered_percent: number | null;
};
export type Status = {
  version: string;
  now_utc_us: number;
  started_utc_us: number;
  zone: string;
  zone_offset_s: number;
  day_start_utc_us: number;
  day_minutes: number;
  cameras: CameraStatus[];
  alarms: Trouble[];
  archive: {
    total_bytes: number;
    free_bytes: number;
    footage_bytes: number;
    writes: boolean;
    is_measured: boolean;
    breaks_in_us: number | null;
    needed_bytes: number;
    holds_percent: number;
  };
};

/** `cause`: a stable word. Gaps before all footage and after the newest are among them. */
export type Gap = { start_utc_us: number; end_utc_us: number; cause: string };
export type TimelineAnswer = {
  start_utc_us: number;
  end_utc_us: number;
  /** Unbroken stretches. */
  spans: { start_utc_us: number; end_utc_us: number }[];
  gaps: Gap[];
  /** Equal slices of the whole time, if they were asked for. */
  buckets: { covered_us: number }[];
};

export type Account = {
  id: number;
  name: string;
  role: Role;
  /** Null: all, also those to come. */
  cameras: string[] | null;
  may_export: boolean;
  is_disabled: boolean;
  /** Invited, and has not chosen a password yet. */
  is_invited: boolean;
  last_sign_in_utc_us: number | null;
};
export type NewAccount = { name: string; role: Role; cameras: string[] | null; may_export: boolean };
export type AccountChange = Partial<Omit<NewAccount, "name">> & { is_disabled?: boolean };
export type Invited = { account: Account; code: string };

export type Session = {
  id: number;
  created_utc_us: number;
  used_utc_us: number;
  address: string;
  agent: string;
  is_current: boolean;
};
export type Passkey = { id: number; label: string; created_utc_us: number; used_utc_us: number | null };

export type AccessEntry = {
  id: number;
  utc_us: number;
  /** The entry whose end this is. */
  follows: number | null;
  /** The name at that time; empty where nobody was signed in. */
  account: string;
  address: string;
  agent: string;
  kind: string;
  camera: string;
  stream: string;
  start_utc_us: number | null;
  end_utc_us: number | null;
  detail: string;
};
export type AccessPage = { entries: AccessEntry[]; next: number | null };
