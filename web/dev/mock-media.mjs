// Test pictures for the mock server: made once by ffmpeg, cut into the boxes that the recorder would send.

import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const FOLDER = fileURLToPath(new URL(".media", import.meta.url));
export const FPS = 15;
export const KEY_EVERY = 30;
/** One loop is one segment. */
export const LOOP_S = 60;
const SIZES = { main: [1280, 720, 26], sub: [640, 360, 28] };
const VARIANTS = ["testsrc2", "testsrc2,hue=h=110:s=0.6", "smptehdbars,noise=alls=12:allf=t"];
const CODEC = "avc1.64001f";

function ffmpeg(...words) {
  execFileSync("ffmpeg", ["-v", "error", "-y", "-threads", "1", ...words], { stdio: "inherit" });
}

function picture(variant, width, height) {
  const [source, ...filters] = VARIANTS[variant].split(",");
  return { source: `${source}=size=${width}x${height}:rate=${FPS}`, filters: [...filters, "format=yuv420p"].join(",") };
}

function make(variant, stream) {
  const [width, height, quality] = SIZES[stream];
  const name = (kind) => join(FOLDER, `${variant}-${stream}-${kind}.mp4`);
  if (!existsSync(name("groups"))) {
    const { source, filters } = picture(variant, width, height);
    ffmpeg("-f", "lavfi", "-i", source, "-t", String(LOOP_S), "-vf", filters, "-c:v", "libx264", "-preset", "veryfast", "-profile:v", "high",
      "-level", "3.1", "-crf", String(quality), "-bf", "0", "-g", String(KEY_EVERY), "-keyint_min", String(KEY_EVERY), "-sc_threshold", "0",
      "-video_track_timescale", "90000", name("whole"));
    ffmpeg("-i", name("whole"), "-c", "copy", "-movflags", "empty_moov+default_base_moof+frag_every_frame", name("pictures"));
    ffmpeg("-i", name("whole"), "-c", "copy", "-movflags", "empty_moov+default_base_moof+frag_keyframe", name("groups"));
  }
  return { pictures: cut(readFileSync(name("pictures"))), groups: cut(readFileSync(name("groups"))), width, height, codec: CODEC, mime: `video/mp4; codecs="${CODEC}"` };
}

/** The beginning (ftyp, moov), and where each fragment (moof, mdat) lies. */
function cut(file) {
  const fragments = [];
  let beginning = 0;
  for (let at = 0; at < file.length; ) {
    const size = file.readUInt32BE(at);
    const kind = file.toString("latin1", at + 4, at + 8);
    if (kind === "moov") beginning = at + size;
    else if (kind === "moof") fragments.push({ start: at, end: at + size });
    else if (kind === "mdat") fragments.at(-1).end = at + size;
    at += size;
  }
  return { file, beginning: file.subarray(0, beginning), fragments };
}

function stillsOf(variant) {
  const folder = join(FOLDER, `${variant}-stills`);
  if (!existsSync(folder)) {
    mkdirSync(folder);
    ffmpeg("-i", join(FOLDER, `${variant}-main-whole.mp4`), "-vf", "fps=1/2,scale=320:-2", "-q:v", "5", join(folder, "%03d.jpg"));
  }
  return readdirSync(folder).sort().map((name) => readFileSync(join(folder, name)));
}

export function makeMedia() {
  mkdirSync(FOLDER, { recursive: true });
  return VARIANTS.map((_name, variant) => ({
    main: make(variant, "main"),
    sub: make(variant, "sub"),
    stills: stillsOf(variant),
  }));
}
