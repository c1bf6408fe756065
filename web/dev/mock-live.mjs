// The live WebSocket, spoken by hand (RFC 6455, server to client only): a segment begins with each minute.

import { createHash } from "node:crypto";
import { trouble } from "./mock-data.mjs";
import { FPS, KEY_EVERY, LOOP_S } from "./mock-media.mjs";

const MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

function frame(kind, data) {
  const head = data.length < 126 ? Buffer.from([0x80 | kind, data.length])
    : data.length < 65536 ? Buffer.from([0x80 | kind, 126, data.length >> 8, data.length & 255])
    : Buffer.concat([Buffer.from([0x80 | kind, 127, 0, 0, 0, 0]), u32(data.length)]);
  return Buffer.concat([head, data]);
}

function u32(value) {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

export function live(request, socket, camera, media) {
  const accept = createHash("sha1").update(request.headers["sec-websocket-key"] + MAGIC).digest("base64");
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
  socket.setNoDelay(true);
  const text = (message) => socket.write(frame(1, Buffer.from(JSON.stringify(message))));
  const timers = [];
  socket.on("close", () => timers.forEach(clearInterval));
  socket.on("error", () => socket.destroy());
  socket.on("data", (data) => {
    if ((data[0] & 15) === 8) socket.end();
  });
  if (camera.kind === "away") {
    const { what, advice } = trouble(Date.now() * 1000);
    const tell = () => text({ kind: "state", phase: "waiting", what: what.en, advice: advice.en });
    tell();
    timers.push(setInterval(tell, 10_000));
    return;
  }
  const { pictures, width, height, codec, mime } = media;
  const isOdd = camera.kind === "h265";
  let minute = 0;
  let sent = 0;
  const step = () => {
    const now = Date.now();
    const start = Math.floor(now / (LOOP_S * 1000)) * LOOP_S * 1000;
    const upTo = Math.min(pictures.fragments.length, Math.floor(((now - start) / 1000) * FPS));
    if (start !== minute) {
      // A new viewer gets the running group of pictures first.
      sent = minute ? 0 : Math.floor(Math.max(0, upTo - 1) / KEY_EVERY) * KEY_EVERY;
      minute = start;
      text({
        kind: "segment", codec: isOdd ? "hvc1.1.6.L93.B0" : codec, mime: isOdd ? 'video/mp4; codecs="hvc1.1.6.L93.B0"' : mime, width, height, start_utc_us: start * 1000,
      });
      socket.write(frame(2, pictures.beginning));
    }
    for (; sent < upTo; sent += 1) {
      const { start: from, end } = pictures.fragments[sent];
      socket.write(frame(2, pictures.file.subarray(from, end)));
    }
  };
  step();
  timers.push(setInterval(step, 1000 / FPS / 2));
}
