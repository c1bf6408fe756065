import { beforeEach, describe, expect, it } from "vitest";
import { FakeBrowser, FakeScreen, type FakeSocket, type FakeSourceBuffer } from "./fakes";
import { LivePlayer, type LiveState } from "./live-player";

const MIME = 'video/mp4; codecs="avc1.64001f"';
const segment = (start_utc_us: number, mime = MIME): unknown => ({ kind: "segment", codec: "avc1.64001f", mime, start_utc_us, width: 640, height: 360 });

let browser: FakeBrowser;
let screen: FakeScreen;
let player: LivePlayer;
let states: LiveState["kind"][];

beforeEach(() => {
  browser = new FakeBrowser();
  screen = new FakeScreen();
  states = [];
  player = new LivePlayer("ws://recorder/live", screen, browser, (state) => states.push(state.kind));
  player.start();
});

const socket = (): FakeSocket => browser.sockets.at(-1)!;

/** A first segment whose media source is open. */
function begin(start = 60e6): FakeSourceBuffer {
  socket().say(segment(start));
  socket().send(800);
  return browser.sources.at(-1)!.open();
}

describe("a live player", () => {
  it("appends beginning and fragments in order, each when the one before is done", () => {
    const buffer = begin();
    socket().send(100);
    expect(buffer.done).toEqual(["append 800"]);
    buffer.finish();
    expect(buffer.done).toEqual(["append 800", "append 100"]);
  });

  it("moves the times of each later segment by its distance from the first", () => {
    const buffer = begin(60e6);
    buffer.finish();
    socket().say(segment(72.5e6));
    socket().send(801);
    expect(buffer.done).toEqual(["append 800", "abort", "offset 12.5", "append 801"]);
  });

  it("changes the type when the codec changes", () => {
    const buffer = begin();
    buffer.finish();
    socket().say(segment(62e6, 'video/mp4; codecs="avc1.42c01e"'));
    expect(buffer.done).toContain('type video/mp4; codecs="avc1.42c01e"');
  });

  it("begins anew when the recorder's clock was set back", () => {
    begin(60e6);
    socket().say(segment(50e6));
    expect(browser.sources).toHaveLength(2);
    socket().send(5);
    expect(browser.sources[1]!.open().done).toEqual(["append 5"]);
  });

  it("keeps at the live edge, and says what moment is shown", () => {
    const buffer = begin(60e6);
    buffer.ranges = [{ start: 30, end: 34 }];
    browser.pass(250);
    expect(screen.currentTime).toBeCloseTo(33.9);
    expect(screen.paused).toBe(false);
    expect(player.facts().atUtcUs).toBeCloseTo(60e6 + 33.9e6);
    buffer.ranges = [{ start: 30, end: 34.5 }];
    browser.pass(250);
    expect(screen.playbackRate).toBe(1.08);
  });

  it("lets go of what was seen", () => {
    const buffer = begin();
    buffer.finish();
    buffer.ranges = [{ start: 0, end: 30 }];
    screen.currentTime = 29.7;
    browser.pass(250);
    expect(buffer.done.at(-1)).toBe(`remove 0 ${29.7 - 6}`);
  });

  it("says when pictures are shown, and when they stay away", () => {
    begin();
    player.pictureShown();
    expect(player.state.kind).toBe("playing");
    browser.pass(4000);
    expect(player.state.kind).toBe("waiting");
    socket().say({ kind: "state", phase: "waiting", what: { en: "No answer", vi: "Không trả lời" }, advice: { en: "Look", vi: "Xem lại" } });
    expect(player.state).toEqual({
      kind: "away",
      what: { en: "No answer", vi: "Không trả lời" },
      advice: { en: "Look", vi: "Xem lại" },
    });
    socket().send(10);
    player.pictureShown();
    expect(player.state.kind).toBe("playing");
  });

  it("connects again after a break, waiting longer each time, and plays on in the same buffer", () => {
    const buffer = begin(60e6);
    buffer.finish();
    socket().break();
    expect(player.state).toEqual({ kind: "reconnecting", tries: 1 });
    browser.pass(499);
    expect(browser.sockets).toHaveLength(1);
    browser.pass(1);
    expect(browser.sockets).toHaveLength(2);
    socket().break();
    browser.pass(1000);
    expect(browser.sockets).toHaveLength(3);
    socket().say(segment(65e6));
    socket().send(9);
    expect(browser.sources).toHaveLength(1);
    expect(buffer.done).toEqual(["append 800", "abort", "offset 5", "append 9"]);
  });

  it("does not wait for ever on a line that was cut without a word", () => {
    begin();
    browser.pass(20_600);
    expect(browser.sockets).toHaveLength(1);
    expect(browser.sockets[0]!.isClosed).toBe(true);
    browser.pass(500);
    expect(browser.sockets).toHaveLength(2);
  });

  it("does not knock again where it was refused", () => {
    socket().break(4401);
    expect(player.state.kind).toBe("refused");
    browser.pass(60_000);
    expect(browser.sockets).toHaveLength(1);
  });

  it("says which codec the browser cannot play", () => {
    browser.playable = false;
    socket().say(segment(60e6));
    socket().send(10);
    expect(player.state).toEqual({ kind: "unplayable", codec: "avc1.64001f" });
    expect(browser.sources).toHaveLength(0);
  });

  it("makes room when the buffer is full, and appends again", () => {
    const buffer = begin();
    buffer.finish();
    buffer.ranges = [{ start: 0, end: 30 }];
    screen.currentTime = 20;
    buffer.refusal = Object.assign(new Error("full"), { name: "QuotaExceededError" });
    socket().send(77);
    expect(buffer.done.at(-1)).toBe("remove 0 19");
    buffer.finish();
    expect(buffer.done.at(-1)).toBe("append 77");
  });

  it("takes a new buffer when the old one failed, but not without end", () => {
    for (let round = 0; round < 6; round += 1) {
      begin(60e6 + round).dispatchEvent(new Event("error"));
      browser.pass(15_000);
    }
    expect(player.state.kind).toBe("unplayable");
    expect(browser.sources).toHaveLength(6);
  });

  it("leaves nothing behind when it stops", () => {
    begin();
    player.stop();
    expect(socket().isClosed).toBe(true);
    expect(screen.source).toBeNull();
    expect(browser.waiting).toBe(0);
    expect(states.at(-1)).toBe("stopped");
  });
});
