// Addresses of media. Pure.

import type { StreamName } from "./types";

export type Span = { startUs: number; endUs: number };

const stream = (camera: string, name: StreamName): string => `/api/v1/cameras/${encodeURIComponent(camera)}/${name}`;
const whole = (us: number): string => String(Math.round(us));

export function liveAddress(camera: string, name: StreamName, at: { protocol: string; host: string }): string {
  return `${at.protocol === "https:" ? "wss:" : "ws:"}//${at.host}${stream(camera, name)}/live`;
}

export function playlistAddress(camera: string, name: StreamName, span: Span): string {
  return `${stream(camera, name)}/playlist.m3u8?start=${whole(span.startUs)}&end=${whole(span.endUs)}`;
}

/** `slices`: into how many equal parts coverage is to be told; 0: span by span. */
export function timelineAddress(camera: string, name: StreamName, span: Span, slices = 0): string {
  return `${stream(camera, name)}/timeline?start=${whole(span.startUs)}&end=${whole(span.endUs)}&buckets=${slices}`;
}

export function stillAddress(camera: string, name: StreamName, atUs: number, width: number): string {
  return `${stream(camera, name)}/still.jpg?at=${whole(atUs)}&width=${width}`;
}

export function clipAddress(camera: string, name: StreamName, span: Span): string {
  return `${stream(camera, name)}/clip.mp4?start=${whole(span.startUs)}&end=${whole(span.endUs)}`;
}
