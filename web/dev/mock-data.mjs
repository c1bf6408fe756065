// What the mock recorder knows: cameras, people, holes in its footage. All made up, and the same at every start.

const S = 1e6;
const HOUR = 3600 * S;
const DAY = 24 * HOUR;
export const ZONE_S = 7 * 3600;

const NAMES = ["Cổng chính", "Hẻm 12", "Nhà xe tầng hầm", "Chợ đầu ngõ", "Thang máy A", "Thang máy B", "Sân chơi", "Nhà văn hóa", "Cổng sau", "Hành lang tầng 3", "Bãi xe máy", "Trạm biến áp", "Ngã ba Lê Lợi"];
export const cameras = NAMES.map((name, index) => ({
  id: `cam${index + 1}`, name, streams: index === 5 ? ["main"] : ["main", "sub"], is_enabled: index !== 11, variant: index % 3,
  // The sixth sends what browsers rarely play, the eighth is away.
  kind: index === 5 ? "h265" : index === 7 ? "away" : "well",
}));
export const camera = (id) => cameras.find((one) => one.id === id);

const both = (vi, en) => ({ vi, en });
const CAUSES = ["connection", "recovered", "format", "stopped"];
export const trouble = (now) => ({
  fault: "network", what: both("Camera không trả lời", "The camera does not answer"), where: both("192.168.1.27", "192.168.1.27"),
  advice: both("Kiểm tra nguồn điện và dây mạng của camera", "Check the camera’s power and its cable"), since_utc_us: now - 47 * 60 * S,
});

/** Holes of a camera, oldest first; on the grid of two seconds that the footage has. */
export function holes(one, now) {
  const found = [];
  const today = Math.floor((now + ZONE_S * S) / DAY) * DAY - ZONE_S * S;
  const seed = cameras.indexOf(one);
  for (let back = 90; back >= 0; back -= 1) {
    const chance = (seed * 7919 + back * 104729) % 97;
    if (chance < 22) add(today - back * DAY + (chance % 23) * HOUR + chance * 60 * S, (chance + 1) * 100 * S, CAUSES[chance % 4]);
    if (back % 9 === 3) add(today - back * DAY + 2 * HOUR, 45 * 60 * S, CAUSES[1]);
  }
  add(now - 2 * HOUR, 420 * S, CAUSES[0]);
  add(now - 25 * 60 * S, 6 * S, CAUSES[2]);
  if (one.kind === "away") add(now - 47 * 60 * S, 48 * 60 * S, CAUSES[0]);
  function add(start, length, cause) {
    const hole = { start_utc_us: Math.floor(start / (2 * S)) * 2 * S, end_utc_us: 0, cause };
    hole.end_utc_us = hole.start_utc_us + Math.ceil(length / (2 * S)) * 2 * S;
    if (hole.start_utc_us < now && hole.start_utc_us >= (found.at(-1)?.end_utc_us ?? 0)) found.push(hole);
  }
  return found;
}

export const firstFootage = (one, now) => now - (cameras.indexOf(one) === 3 ? 12 : 60) * DAY;

export function timeline(one, start, end, slices, now) {
  const from = Math.max(start, firstFootage(one, now));
  const to = Math.min(end, now - 3 * S);
  const gaps = holes(one, now).filter((hole) => hole.end_utc_us > from && hole.start_utc_us < to);
  const spans = [];
  let at = from;
  for (const gap of gaps) {
    if (gap.start_utc_us > at) spans.push({ start_utc_us: at, end_utc_us: gap.start_utc_us });
    at = Math.max(at, gap.end_utc_us);
  }
  if (at < to) spans.push({ start_utc_us: at, end_utc_us: to });
  if (from > start) gaps.unshift({ start_utc_us: start, end_utc_us: Math.min(from, end), cause: "before_first" });
  if (to < end) gaps.push({ start_utc_us: Math.max(to, start), end_utc_us: end, cause: "not_yet" });
  const buckets = Array.from({ length: slices }, (_none, index) => {
    const length = (end - start) / slices;
    const [first, last] = [start + index * length, start + (index + 1) * length];
    return { covered_us: spans.reduce((sum, span) => sum + Math.max(0, Math.min(last, span.end_utc_us) - Math.max(first, span.start_utc_us)), 0), damaged_us: null, frames: null };
  });
  return { start_utc_us: start, end_utc_us: end, shortest_gap_us: 20_000, spans, gaps, buckets };
}

export function status(now) {
  const dayStart = Math.floor((now + ZONE_S * S) / DAY) * DAY - ZONE_S * S;
  const minute = Math.floor((now - dayStart) / (60 * S));
  return {
    version: "0.2.0-mock", now_utc_us: now, started_utc_us: now - 5 * DAY, data: "/var/lib/khupho", zone: "UTC+07:00", zone_offset_s: ZONE_S,
    day_start_utc_us: dayStart, day_minutes: 1440, alarms: [],
    archive: { total_bytes: 2e12, free_bytes: 4.1e11, footage_bytes: 1.55e12, writes: true, is_measured: true, breaks_in_us: null, needed_bytes: 1.4e12, holds_percent: 100 },
    cameras: cameras.map((one, index) => ({
      id: one.id, name: one.name, verdict: !one.is_enabled ? "off" : one.kind === "away" ? "trouble" : index === 2 ? "weak" : "recording",
      since_utc_us: now - 5 * HOUR, reason: index === 2 ? both("Đồng hồ của camera sai", "the camera's own clock is wrong") : both("", ""),
      trouble: one.kind === "away" ? trouble(now) : null, guaranteed_days: 30, maximum_days: 30,
      coverage: minute > 200 ? [[0, 130, "full"], [130, 140, "part"], [147, minute, "full"]] : [[0, minute, "full"]], covered_percent: index % 3 ? 100 : 98.4,
      streams: one.streams.map((stream) => ({
        stream, phase: one.kind === "away" ? "waiting" : "playing", codec: one.kind === "h265" ? "h265" : "h264", transport: "tcp", width_px: stream === "main" ? 1280 : 640,
        height_px: stream === "main" ? 720 : 360, fps: 15, bits_per_s: stream === "main" ? 2.1e6 : 4.2e5, lost_packets: index === 2 ? 12 : 0,
        last_frame_utc_us: one.kind === "away" ? now - 47 * 60 * S : now - 1e5, next_try_utc_us: null,
      })),
    })),
  };
}

export const people = [
  { id: 1, name: "Nguyễn Thị Mai", role: "owner", cameras: null, may_export: true, is_disabled: false, is_invited: false },
  { id: 2, name: "Trần Văn Hùng", role: "viewer", cameras: ["cam1", "cam2", "cam3"], may_export: true, is_disabled: false, is_invited: false },
  { id: 3, name: "Lê Thanh Tâm", role: "viewer", cameras: null, may_export: false, is_disabled: false, is_invited: true },
  { id: 4, name: "Kỹ thuật Ánh Dương", role: "maintainer", cameras: null, may_export: false, is_disabled: false, is_invited: false },
  { id: 5, name: "Phạm Quốc Bảo", role: "viewer", cameras: ["cam9"], may_export: false, is_disabled: true, is_invited: false },
];

export function log(now) {
  const kinds = ["live", "playback", "still", "export", "sign_in", "refused", "account"];
  return Array.from({ length: 260 }, (_none, index) => {
    const kind = kinds[(index * 5 + (index >> 2)) % 7];
    const looks = ["playback", "still", "export"].includes(kind);
    const at = now - index * index * 31 * S - index * 200 * S;
    const start = at - (index % 40) * HOUR - 3 * HOUR;
    return {
      id: 5000 - index, utc_us: at, follows: null, agent: "", account: kind === "refused" ? "" : people[index % 4].name, address: `192.168.1.${20 + (index % 9)}`, kind,
      camera: looks || kind === "live" ? cameras[(index * 3) % 12].id : "", stream: looks || kind === "live" ? "main" : "",
      start_utc_us: looks ? start : null, end_utc_us: looks ? start + (kind === "still" ? 0 : 600 * S) : null,
      detail: kind === "refused" ? "wrong-sign-in" : kind === "account" ? "invited Lê Thanh Tâm" : "",
    };
  });
}
