// The recorder's cameras and state, asked for every few seconds while somebody looks.

import { setZone } from "../words/times";
import { get, asProblem, type Problem } from "./http";
import { session } from "./session.svelte";
import type { Camera, CameraStatus, Status } from "./types";

const POLL_MS = 3000;

class Site {
  cameras = $state.raw<Camera[]>([]);
  status = $state.raw<Status | null>(null);
  problem = $state.raw<Problem | null>(null);
  hasCameras = $state(false);
  /** Recorder's clock minus this machine's monotonic one. */
  #offsetUs = Date.now() * 1000 - performance.now() * 1000;
  #bestRoundMs = Infinity;
  #timer = 0;

  constructor() {
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible" && this.#timer) void this.#poll();
    });
  }

  /** What time it is on the recorder. */
  now(): number {
    return performance.now() * 1000 + this.#offsetUs;
  }

  start(): void {
    if (!this.#timer) void this.#poll();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.hasCameras = false;
    this.cameras = [];
    this.status = null;
  }

  camera(id: string): Camera | undefined {
    return this.cameras.find((camera) => camera.id === id);
  }

  statusOf(id: string): CameraStatus | undefined {
    return this.status?.cameras.find((camera) => camera.id === id);
  }

  async #poll(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = window.setTimeout(() => void this.#poll(), POLL_MS);
    if (document.visibilityState !== "visible") return;
    try {
      const asked = performance.now();
      const status = await get<Status>("/api/v1/status");
      this.#takeClock(status, asked, performance.now());
      setZone(status.zone_offset_s);
      this.status = status;
      if (!this.hasCameras || this.#changed(status)) {
        this.cameras = (await get<{ cameras: Camera[] }>("/api/v1/cameras")).cameras;
        this.hasCameras = true;
      }
      this.problem = null;
    } catch (error) {
      this.problem = asProblem(error);
      if (!session.me?.person) this.stop();
    }
  }

  /** The quickest answer says most truly what time it is there. */
  #takeClock(status: Status, askedMs: number, answeredMs: number): void {
    const round = answeredMs - askedMs;
    const offset = status.now_utc_us - ((askedMs + answeredMs) / 2) * 1000;
    if (round <= this.#bestRoundMs || Math.abs(offset - this.#offsetUs) > 2e6) {
      this.#offsetUs = offset;
      this.#bestRoundMs = round;
    } else {
      this.#bestRoundMs *= 1.05; // clocks drift: an old measurement loses its weight
    }
  }

  #changed(status: Status): boolean {
    const key = (list: { id: string; name: string }[]): string => list.map((one) => `${one.id}\t${one.name}`).sort().join("\n");
    return key(status.cameras) !== key(this.cameras);
  }
}

export const site = new Site();
