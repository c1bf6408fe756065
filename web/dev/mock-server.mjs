// A recorder to develop and look at the app with: speaks its HTTP API with made-up data, serves the built app
// under the recorder's own policy. `node dev/mock-server.mjs [--port 8899] [--fresh]` (--fresh: not set up yet).

import { createReadStream, existsSync, readFileSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { camera, cameras, firstFootage, holes, log, people, status, timeline } from "./mock-data.mjs";
import { live } from "./mock-live.mjs";
import { KEY_EVERY, FPS, LOOP_S, makeMedia } from "./mock-media.mjs";

const DIST = fileURLToPath(new URL("../dist", import.meta.url));
const option = (name, otherwise) => (process.argv.includes(name) ? process.argv[process.argv.indexOf(name) + 1] : otherwise);
const PORT = Number(option("--port", "8899"));
const POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const TYPES = { ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };
const LOOP_US = LOOP_S * 1e6;
const GROUP_US = (KEY_EVERY / FPS) * 1e6;
const ALL = ["open", "self", "status", "live", "playback", "still", "export", "cameras", "accounts", "access_log"];

const media = makeMedia();
let isSetUp = !process.argv.includes("--fresh");
let sessions = [
  { id: 11, created_utc_us: 0, used_utc_us: 0, address: "192.168.1.20", agent: "Mozilla/5.0 (X11; Linux x86_64) Chrome/140.0", is_current: true },
  { id: 12, created_utc_us: 0, used_utc_us: 0, address: "192.168.1.31", agent: "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0) Safari/605", is_current: false },
];
let passkeys = [{ id: 1, label: "Chrome · Android", created_utc_us: 0, used_utc_us: null }];
const now = () => Date.now() * 1000;
const signedIn = (request) => /session=1/.test(request.headers.cookie ?? "");
const person = () => ({ name: people[0].name, role: "owner", may_export: true, cameras: null });
const me = (is) => ({ is_set_up: isSetUp, person: is ? person() : null, actions: is ? ALL : [] });

class Refusal extends Error {
  constructor(status, type, title, advice = "") {
    super(title);
    Object.assign(this, { status, body: { type, title, detail: "", advice, status } });
  }
}

/** Method and address to what is answered: an object becomes JSON. */
const ROUTES = [
  ["GET", "/me", ({ is }) => me(is)],
  ["POST", "/set-up", ({ response }) => ((isSetUp = true), enter(response))],
  ["POST", "/invitations/accept", ({ response }) => enter(response)],
  ["POST", "/sign-in", ({ body, response }) => {
    if (body.password !== "mock-password") throw new Refusal(401, "wrong-sign-in", "The name or the password is wrong");
    return enter(response);
  }],
  ["POST", "/sign-out", ({ response }) => void response.setHeader("set-cookie", "session=; Path=/; Max-Age=0")],
  ["GET", "/status", () => status(now())],
  ["GET", "/cameras", () => ({ cameras: cameras.map(({ id, name, streams, is_enabled }) => ({ id, name, streams, is_enabled })) })],
  ["GET", "/me/sessions", () => sessions.map((one) => ({ ...one, used_utc_us: now() - one.id * 6e7, created_utc_us: now() - 9e10 }))],
  ["DELETE", "/sessions/(\\d+)", ({ parts }) => void (sessions = sessions.filter((one) => one.id !== Number(parts[0])))],
  ["POST", "/me/password", ({ body }) => {
    if (body.old !== "mock-password") throw new Refusal(401, "wrong-sign-in", "The password is wrong");
  }],
  ["GET", "/me/passkeys", () => passkeys.map((one) => ({ ...one, created_utc_us: now() - 8e11 }))],
  ["DELETE", "/me/passkeys/(\\d+)", ({ parts }) => void (passkeys = passkeys.filter((one) => one.id !== Number(parts[0])))],
  ["GET", "/accounts", () => ({ accounts: people.map((one) => ({ ...one, last_sign_in_utc_us: one.is_invited ? null : now() - one.id * 7e9 })) })],
  ["POST", "/accounts", ({ body }) => {
    if (people.some((one) => one.name === body.name)) throw new Refusal(409, "name-taken", "There is already somebody of that name");
    const account = { id: 100 + people.length, is_disabled: false, is_invited: true, last_sign_in_utc_us: null, ...body };
    people.push(account);
    return { account, code: "kJ8sQ2mW4vXz71bTnR5yLg" };
  }],
  ["PATCH", "/accounts/(\\d+)", ({ parts, body }) => Object.assign(people.find((one) => one.id === Number(parts[0])), body)],
  ["DELETE", "/accounts/(\\d+)", ({ parts }) => void people.splice(people.findIndex((one) => one.id === Number(parts[0])), 1)],
  ["POST", "/accounts/(\\d+)/reset-password", () => ({ code: "Zt5uH0cN8aPq36eYdM1wFs" })],
  ["GET", "/access-log", ({ query }) => {
    const limit = Number(query.get("limit") ?? 100);
    const before = Number(query.get("before") ?? Infinity);
    const found = log(now()).filter((entry) => entry.id < before)
      .filter((entry) => !query.get("camera") || entry.camera === query.get("camera"))
      .filter((entry) => !query.get("account") || entry.account === query.get("account")).slice(0, limit);
    return { entries: found, next: found.length === limit ? found.at(-1).id : null };
  }],
  ["GET", "/cameras/(\\w+)/(main|sub)/timeline", ({ parts, query }) =>
    timeline(camera(parts[0]), Number(query.get("start")), Number(query.get("end")), Number(query.get("buckets") ?? 0), now())],
];

function enter(response) {
  response.setHeader("set-cookie", "session=1; Path=/; HttpOnly; SameSite=Strict");
  return me(true);
}

function playlist(one, start, end) {
  const groups = media[one.variant].main.groups;
  const gaps = holes(one, now());
  const goesOn = end > now();
  const lines = ["#EXTM3U", "#EXT-X-VERSION:7", `#EXT-X-PLAYLIST-TYPE:${goesOn ? "EVENT" : "VOD"}`, `#EXT-X-TARGETDURATION:${goesOn ? 10 : 2}`, "#EXT-X-MEDIA-SEQUENCE:0"];
  let last = 0;
  const first = Math.max(start, firstFootage(one, now()));
  for (let at = Math.floor(first / GROUP_US) * GROUP_US; at < Math.min(end, now() - 4e6); at += GROUP_US) {
    if (gaps.some((gap) => at >= gap.start_utc_us && at < gap.end_utc_us)) continue;
    const minute = Math.floor(at / LOOP_US) * LOOP_US;
    const { start: from, end: to } = groups.fragments[Math.round((at - minute) / GROUP_US)];
    const name = `segments/${minute / 1000}.mp4`;
    if (at !== last + GROUP_US || at === minute) {
      if (last) lines.push("#EXT-X-DISCONTINUITY");
      lines.push(`#EXT-X-MAP:URI="${name}",BYTERANGE="${groups.beginning.length}@0"`, `#EXT-X-PROGRAM-DATE-TIME:${new Date(at / 1000).toISOString()}`);
    }
    lines.push(`#EXTINF:${GROUP_US / 1e6},`, `#EXT-X-BYTERANGE:${to - from}@${from}`, name);
    last = at;
  }
  return [...lines, goesOn ? "" : "#EXT-X-ENDLIST\n"].join("\n");
}

function sendBytes(request, response, data, type) {
  const range = /bytes=(\d+)-(\d*)/.exec(request.headers.range ?? "");
  const [from, to] = range ? [Number(range[1]), range[2] ? Number(range[2]) + 1 : data.length] : [0, data.length];
  response.writeHead(range ? 206 : 200, {
    "content-type": type, "accept-ranges": "bytes", "content-length": to - from, ...(range ? { "content-range": `bytes ${from}-${to - 1}/${data.length}` } : {}),
  });
  response.end(data.subarray(from, to));
}

function sendMedia(request, response, path, query) {
  const match = /^\/cameras\/(\w+)\/(main|sub)\/(playlist\.m3u8|still\.jpg|clip\.mp4|segments\/\d+\.mp4)$/.exec(path);
  const one = match && camera(match[1]);
  if (!one) return false;
  const own = media[one.variant];
  if (match[3] === "playlist.m3u8") {
    response.writeHead(200, { "content-type": "application/vnd.apple.mpegurl" }).end(playlist(one, Number(query.get("start")), Number(query.get("end"))));
  } else if (match[3] === "still.jpg") {
    sendBytes(request, response, own.stills[Math.floor((Number(query.get("at")) % LOOP_US) / GROUP_US)], "image/jpeg");
  } else {
    if (match[3] === "clip.mp4") response.setHeader("content-disposition", "attachment; filename=\"clip.mp4\"");
    sendBytes(request, response, own.main.groups.file, "video/mp4");
  }
  return true;
}

async function sendApi(request, response, path, query) {
  const is = signedIn(request);
  const isOpen = ["/me", "/sign-in", "/set-up", "/invitations/accept"].includes(path);
  if (!is && !isOpen) throw new Refusal(401, "not-signed-in", "You are not signed in");
  if (request.method === "GET" && sendMedia(request, response, path, query)) return;
  const pieces = [];
  for await (const piece of request) pieces.push(piece);
  const body = pieces.length ? JSON.parse(Buffer.concat(pieces).toString()) : {};
  for (const [method, pattern, answer] of ROUTES) {
    const match = new RegExp(`^${pattern}$`).exec(path);
    if (method !== request.method || !match) continue;
    const said = answer({ is, body, query, response, parts: match.slice(1) });
    if (said === undefined) response.writeHead(204).end();
    else response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(said));
    return;
  }
  throw new Refusal(404, "not-found", "It is not there");
}

function sendFile(response, path) {
  const wanted = join(DIST, normalize(path === "/" ? "/index.html" : path));
  const file = wanted.startsWith(DIST) && existsSync(wanted) && statSync(wanted).isFile() ? wanted : join(DIST, "index.html");
  response.writeHead(200, { "content-type": TYPES[extname(file)] ?? "application/octet-stream", "content-security-policy": POLICY, "x-content-type-options": "nosniff" });
  if (extname(file) === ".html") response.end(readFileSync(file));
  else createReadStream(file).pipe(response);
}

const server = createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url, "http://mock");
  if (!pathname.startsWith("/api/v1/")) return sendFile(response, pathname);
  sendApi(request, response, pathname.slice("/api/v1".length), searchParams).catch((error) => {
    if (!(error instanceof Refusal)) console.error(error);
    const { status: code, body } = error instanceof Refusal ? error : new Refusal(500, "bug", String(error));
    response.writeHead(code, { "content-type": "application/problem+json" }).end(JSON.stringify(body));
  });
});
server.on("upgrade", (request, socket) => {
  const match = /^\/api\/v1\/cameras\/(\w+)\/(main|sub)\/live$/.exec(request.url);
  const one = match && camera(match[1]);
  if (!one || !signedIn(request)) return socket.end("HTTP/1.1 404 Not Found\r\n\r\n");
  live(request, socket, one, media[one.variant][match[2]]);
});
server.listen(PORT, "127.0.0.1", () => console.log(`http://127.0.0.1:${PORT}/  (any name, password: mock-password)`));
