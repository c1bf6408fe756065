// The browser, as the live player uses it.

import type { Screen, Surroundings } from "./live-player";

type SourceMaker = { new (): MediaSource; isTypeSupported(mime: string): boolean };

/** iPhones have the managed kind only. */
function sourceMaker(): SourceMaker | null {
  const here = globalThis as { ManagedMediaSource?: SourceMaker; MediaSource?: SourceMaker };
  return here.MediaSource ?? here.ManagedMediaSource ?? null;
}

export const browser: Surroundings = {
  connect: (address) => new WebSocket(address),
  makeSource: () => new (sourceMaker()!)(),
  canPlay: (mime) => sourceMaker()?.isTypeSupported(mime) ?? false,
  nowMs: () => performance.now(),
  later: (action, ms) => window.setTimeout(action, ms),
  cancel: (timer) => window.clearTimeout(timer),
  chance: Math.random,
};

/** A <video> as a screen of the player. */
export function screenOf(video: HTMLVideoElement): Screen {
  let address = "";
  return {
    get currentTime() {
      return video.currentTime;
    },
    set currentTime(seconds: number) {
      video.currentTime = seconds;
    },
    get playbackRate() {
      return video.playbackRate;
    },
    set playbackRate(rate: number) {
      video.playbackRate = rate;
    },
    get paused() {
      return video.paused;
    },
    play: () => video.play(),
    attach(source) {
      video.disableRemotePlayback = true; // a managed source opens only then
      address = URL.createObjectURL(source);
      video.src = address;
      video.addEventListener("loadedmetadata", () => URL.revokeObjectURL(address), { once: true });
    },
    detach() {
      URL.revokeObjectURL(address);
      video.removeAttribute("src");
      video.load();
    },
  };
}

/** Calls back for each picture that is shown; the answer ends it. */
export function onEachPicture(video: HTMLVideoElement, action: () => void): () => void {
  if ("requestVideoFrameCallback" in video) {
    let handle = 0;
    const shown = (): void => {
      action();
      handle = video.requestVideoFrameCallback(shown);
    };
    handle = video.requestVideoFrameCallback(shown);
    return () => video.cancelVideoFrameCallback(handle);
  }
  const element = video as HTMLVideoElement;
  element.addEventListener("timeupdate", action);
  return () => element.removeEventListener("timeupdate", action);
}
