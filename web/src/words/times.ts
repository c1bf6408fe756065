// Moments as people read them: the recorder's local time. Pure; the zone is told once by its status.

const DAY_US = 86_400e6;
let zoneOffsetUs = -new Date().getTimezoneOffset() * 60e6;

/** The recorder's zone: footage is shown in the time of the place where it was taken. */
export function setZone(offsetS: number): void {
  zoneOffsetUs = offsetS * 1e6;
}

export function zoneOffset(): number {
  return zoneOffsetUs;
}

export function zoneName(offsetUs = zoneOffsetUs): string {
  const minutes = Math.abs(Math.round(offsetUs / 60e6));
  const two = (n: number): string => String(n).padStart(2, "0");
  return `UTC${offsetUs < 0 ? "-" : "+"}${two(Math.floor(minutes / 60))}:${two(minutes % 60)}`;
}

function local(utcUs: number): Date {
  return new Date((utcUs + zoneOffsetUs) / 1000);
}

const two = (n: number): string => String(n).padStart(2, "0");

/** 21/11/2026: as it is written in Vietnam, and plain enough in English. */
export function day(utcUs: number): string {
  const at = local(utcUs);
  return `${two(at.getUTCDate())}/${two(at.getUTCMonth() + 1)}/${at.getUTCFullYear()}`;
}

export function shortDay(utcUs: number): string {
  const at = local(utcUs);
  return `${at.getUTCDate()}/${at.getUTCMonth() + 1}`;
}

export function minute(utcUs: number): string {
  return local(utcUs).toISOString().slice(11, 16);
}

export function second(utcUs: number): string {
  return local(utcUs).toISOString().slice(11, 19);
}

export function thousandth(utcUs: number): string {
  return local(utcUs).toISOString().slice(11, 23);
}

export function dayAndSecond(utcUs: number): string {
  return `${day(utcUs)} ${second(utcUs)}`;
}

/** The beginning of the local day of a moment. */
export function dayStart(utcUs: number): number {
  return Math.floor((utcUs + zoneOffsetUs) / DAY_US) * DAY_US - zoneOffsetUs;
}

/** 2026-11-21 and 08:30:00 for the browser's own pickers, and back. */
export function toInputs(utcUs: number): { date: string; time: string } {
  const text = local(utcUs).toISOString();
  return { date: text.slice(0, 10), time: text.slice(11, 19) };
}

export function fromInputs(date: string, time: string): number | null {
  const ms = Date.parse(`${date}T${time.length === 5 ? `${time}:00` : time}Z`);
  return Number.isNaN(ms) ? null : ms * 1000 - zoneOffsetUs;
}
