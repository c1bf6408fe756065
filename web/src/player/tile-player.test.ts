import { beforeEach, describe, expect, it } from "vitest";
import { FakeBrowser, FakeVideo, type FakeSocket } from "./fakes";
import { TilePlayer, type TileView } from "./tile-player";

let browser: FakeBrowser;
let videos: [FakeVideo, FakeVideo];
let tile: TilePlayer;
let view: TileView;

beforeEach(() => {
  browser = new FakeBrowser();
  videos = [new FakeVideo(), new FakeVideo()];
  const asVideos = videos as unknown as [HTMLVideoElement, HTMLVideoElement];
  tile = new TilePlayer(asVideos, (stream) => stream, browser, (now) => (view = now));
});

const open = (): FakeSocket[] => browser.sockets.filter((socket) => !socket.isClosed);
const begin = (socket: FakeSocket): void => socket.say({ kind: "segment", codec: "avc1", mime: "video/mp4", start_utc_us: 0 });

describe("a tile's player", () => {
  it("plays one stream, and nothing when nothing is wanted", () => {
    tile.want("sub");
    tile.want("sub");
    expect(browser.sockets).toHaveLength(1);
    tile.want(null);
    expect(open()).toHaveLength(0);
    expect(view).toMatchObject({ stream: null, state: { kind: "stopped" } });
  });

  it("shows the small stream until the main one has its first picture", () => {
    tile.want("sub");
    videos[0].show();
    tile.want("main");
    expect(view).toMatchObject({ stream: "sub", shown: 0, hasPicture: true });
    expect(open()).toHaveLength(2);
    videos[1].show();
    expect(view).toMatchObject({ stream: "main", shown: 1, hasPicture: true });
    expect(open()).toHaveLength(2);
    browser.pass(150);
    expect(open()).toEqual([browser.sockets[1]]);
  });

  it("stays with the small stream when a person goes back before that", () => {
    tile.want("sub");
    videos[0].show();
    tile.want("main");
    tile.want("sub");
    expect(open()).toEqual([browser.sockets[0]]);
    expect(view).toMatchObject({ stream: "sub", shown: 0 });
  });

  it("may go to and fro quickly without leaving a player behind", () => {
    tile.want("sub");
    videos[0].show();
    tile.want("main");
    videos[1].show();
    tile.want("sub");
    expect(open()).toHaveLength(2);
    videos[0].show();
    browser.pass(200);
    expect(open()).toEqual([browser.sockets[2]]);
    expect(view).toMatchObject({ stream: "sub", shown: 0 });
  });

  it("tells which stream the browser cannot play", () => {
    browser.playable = false;
    tile.want("main");
    begin(browser.sockets[0]!);
    expect(view.unplayable).toEqual(["main"]);
  });
});
