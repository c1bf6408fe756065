// The recorder's page: asks for the status every two seconds while it is seen, and changes only what changed.

const POLL_MS = 2000;
const PATIENCE_MS = 8000;
const STALE_MS = 7000;
const PICTURE_MS = 8000;
const MOST_PICTURES_AT_ONCE = 2; // browsers open six connections a host; the status must find one
const VERDICT_WITH_WHY = new Set(["trouble", "starting"]);

const $ = (id) => document.getElementById(id);
let words = {};
let language = "vi";
let status = null;
let heardMs = 0;
let failing = false;
const cards = new Map();

try {
  if (localStorage.getItem("language") === "en") language = "en";
} catch { /* a browser that keeps nothing: Vietnamese */ }
if (location.search.includes("token=")) history.replaceState(null, "", location.pathname + location.hash);

// Words, numbers, times

function t(key, values = {}) {
  const text = words[key]?.[language] ?? key;
  return text.replace(/\{(\w+)\}/g, (_all, name) => values[name] ?? "");
}

const number = (value, digits = 0) =>
  new Intl.NumberFormat(language, { maximumFractionDigits: digits, minimumFractionDigits: digits }).format(value);

const nowUs = () => status.now_utc_us + (performance.now() - heardMs) * 1000;

function duration(us) {
  const s = Math.max(0, Math.floor(us / 1e6));
  if (s < 60) return t("seconds", { n: s });
  if (s < 3600) return t("minutes", { n: Math.floor(s / 60) });
  if (s < 36000) return t("hours_minutes", { n: Math.floor(s / 3600), m: Math.floor((s % 3600) / 60) });
  if (s < 2 * 86400) return t("hours", { n: Math.floor(s / 3600) });
  return t("days", { n: Math.floor(s / 86400) });
}

/* Clock time where the recorder is, with the day if it is another one. */
function moment(utcUs) {
  const local = new Date(utcUs / 1000 + status.zone_offset_s * 1000);
  const time = local.toISOString().slice(11, 16);
  const dayUs = 86400e6;
  if (utcUs >= status.day_start_utc_us) return time;
  if (utcUs >= status.day_start_utc_us - dayUs) return t("yesterday", { time });
  return t("on_day", { time, day: `${local.getUTCDate()}/${local.getUTCMonth() + 1}` });
}

function bytes(value) {
  for (const [unit, size] of [["TB", 1e12], ["GB", 1e9], ["MB", 1e6]]) {
    if (value >= size) return `${number(value / size, value >= 100 * size ? 0 : 1)} ${unit}`;
  }
  return `${number(value / 1e6, 1)} MB`;
}

function rate(bitsPerS) {
  return bitsPerS >= 1e6 ? `${number(bitsPerS / 1e6, 1)} Mbit/s` : `${number(bitsPerS / 1e3)} kbit/s`;
}

const said = (both) => both[language] || both.en;

function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function mood(id, value) {
  if ($(id).dataset.mood !== value) $(id).dataset.mood = value;
}

// Summary

function showSummary() {
  const { cameras, archive } = status;
  const wanted = cameras.filter((c) => c.verdict !== "off");
  const recording = wanted.filter((c) => c.verdict === "recording" || c.verdict === "weak");
  const trouble = wanted.filter((c) => c.verdict === "trouble");
  put($("recording"), number(recording.length));
  put($("recording-of"), ` / ${number(wanted.length)}`);
  const off = cameras.length - wanted.length;
  put($("recording-note"), [
    t("running_since", { time: moment(status.started_utc_us) }),
    off ? t("switched_off", { n: off }) : "",
  ].filter(Boolean).join(" · "));
  mood("tile-recording", !wanted.length ? "" : recording.length === wanted.length ? "good" : "");
  put($("trouble"), number(trouble.length));
  mood("tile-trouble", trouble.length ? "bad" : cameras.length ? "good" : "");
  showNames($("trouble-note"), trouble);
  showArchive(archive);
  const title = trouble.length ? `(${trouble.length}) Khu Phố` : "Khu Phố";
  if (document.title !== title) document.title = title;
}

function showNames(note, trouble) {
  const key = trouble.map((c) => c.id + c.name).join("\n") + language;
  if (note.dataset.key === key) return;
  note.dataset.key = key;
  note.replaceChildren();
  if (!trouble.length) note.textContent = status.cameras.length ? t("no_trouble") : "\u00a0";
  trouble.slice(0, 3).forEach((camera, index) => {
    const link = document.createElement("a");
    link.href = `#camera-${camera.id}`;
    link.textContent = camera.name;
    note.append(index ? ", " : "", link);
  });
  if (trouble.length > 3) note.append(t("and_more", { n: trouble.length - 3 }));
}

function showArchive(archive) {
  const used = archive.total_bytes ? 100 - (100 * archive.free_bytes) / archive.total_bytes : 0;
  put($("disk"), archive.total_bytes ? t("disk_free", { size: bytes(archive.free_bytes) }) : "–");
  $("disk-meter").style.width = `${used.toFixed(1)}%`;
  const [footage, total] = [bytes(archive.footage_bytes), bytes(archive.total_bytes)];
  put($("disk-note"), !archive.total_bytes ? t("not_known")
    : archive.footage_bytes ? t("disk_note", { footage, total }) : t("disk_total", { total }));
  mood("tile-disk", archive.writes ? "" : "bad");
  let figure = t("forecast_wait"), note = t("forecast_wait_note"), feeling = "";
  if (!archive.writes) {
    [figure, note, feeling] = [t("forecast_stopped"), t("forecast_stopped_note"), "bad"];
  } else if (archive.breaks_in_us !== null) {
    figure = archive.breaks_in_us > 0 ? t("forecast_breaks", { when: duration(archive.breaks_in_us) }) : t("forecast_broken");
    note = t("forecast_breaks_note", { percent: number(archive.holds_percent), needed: bytes(archive.needed_bytes) });
    feeling = archive.breaks_in_us > 0 ? "warn" : "bad";
  } else if (archive.is_measured) {
    [figure, note, feeling] = [t("forecast_kept"), t("forecast_kept_note", { needed: bytes(archive.needed_bytes) }), "good"];
  }
  put($("forecast"), figure);
  put($("forecast-note"), note);
  mood("tile-forecast", feeling);
}

// Alarms

function showAlarms() {
  const list = $("alarm-list");
  const key = JSON.stringify([status.alarms, language, status.day_start_utc_us]);
  $("alarms").hidden = !status.alarms.length;
  if (list.dataset.key === key) return;
  list.dataset.key = key;
  list.replaceChildren(...status.alarms.map((alarm) => {
    const item = document.createElement("li");
    const what = document.createElement("p");
    what.className = "what";
    what.textContent = said(alarm.what);
    const more = document.createElement("p");
    more.className = "more";
    more.textContent = [
      said(alarm.advice), said(alarm.where), t("since", { time: moment(alarm.since_utc_us) }),
    ].filter(Boolean).join(" · ");
    item.append(what, more);
    return item;
  }));
}

// Cameras

function showCameras() {
  $("empty").hidden = status.cameras.length > 0;
  put($("empty-command"), `khupho camera add "${t("example_name")}" rtsp://192.168.1.20:554/… --data ${status.data}`);
  const ids = new Set(status.cameras.map((camera) => camera.id));
  for (const [id, card] of cards) {
    if (!ids.has(id)) {
      seen.unobserve(card.item);
      card.item.remove();
      cards.delete(id);
    }
  }
  let before = null;
  for (const camera of status.cameras) {
    let card = cards.get(camera.id);
    if (!card) {
      card = makeCard(camera);
      cards.set(camera.id, card);
    }
    const place = before ? before.nextSibling : $("cameras").firstChild;
    if (card.item !== place) $("cameras").insertBefore(card.item, place);
    before = card.item;
    showCard(card, camera);
  }
}

function makeCard(camera) {
  const item = $("card").content.firstElementChild.cloneNode(true);
  item.id = `camera-${camera.id}`;
  const part = (selector) => item.querySelector(selector);
  const heading = part("h3");
  heading.id = `name-${camera.id}`;
  part("article").setAttribute("aria-labelledby", heading.id);
  const card = {
    item, heading, id: camera.id, isSeen: false, pictureUs: 0, askedMs: -1e9, url: "",
    img: part("img"), none: part(".no-picture"), age: part(".age"), why: part(".why"), blame: part(".blame"),
    what: part(".what"), advice: part(".advice"), next: part(".next"), words: part(".words"),
    picture: part(".f-picture"), rate: part(".f-rate"), last: part(".f-last"), lost: part(".f-lost"),
    today: part(".today-words"), past: part(".past"), full: part(".full"), part: part(".part"), hurt: part(".hurt"),
  };
  item.querySelectorAll("[data-word]").forEach((element) => put(element, t(element.dataset.word)));
  seen.observe(item);
  return card;
}

function showCard(card, camera) {
  const main = camera.streams.find((stream) => stream.stream === "main");
  card.camera = camera;
  put(card.heading, camera.name);
  card.heading.title = camera.name;
  if (card.item.dataset.verdict !== camera.verdict) card.item.dataset.verdict = camera.verdict;
  put(card.words, stateWords(camera, main));
  card.words.title = card.words.textContent;
  showWhy(card, camera);
  put(card.picture, main?.codec
    ? [main.codec.toUpperCase().replace("H26", "H.26"), `${main.width_px} × ${main.height_px}`, main.transport.toUpperCase()]
      .filter(Boolean).join(" · ") : "–");
  const flows = main && main.phase === "playing" && main.last_frame_utc_us;
  put(card.rate, flows ? `${t("fps", { n: number(main.fps, 1) })} · ${rate(main.bits_per_s)}` : "–");
  showAges(card);
  put(card.lost, main ? number(main.lost_packets) : "–");
  card.lost.classList.toggle("is-warn", Boolean(main && main.lost_packets > 0 && camera.verdict === "weak"));
  showToday(card, camera);
}

function stateWords(camera, main) {
  if (camera.verdict === "off") return t("state_off");
  if (!main) return t("state_starting");
  if (camera.verdict === "recording") return t("state_recording", { time: moment(main.since_utc_us) });
  if (camera.verdict === "weak") return `${t("state_weak")}: ${said(camera.reason)}`;
  if (camera.verdict === "starting") return t("state_starting");
  return t("state_trouble", { time: moment(camera.since_utc_us) });
}

function showWhy(card, camera) {
  card.why.hidden = !(VERDICT_WITH_WHY.has(camera.verdict) && camera.trouble);
  const trouble = camera.trouble;
  if (card.why.hidden) return;
  put(card.blame, t(`fault_${trouble.fault}`));
  put(card.what, said(trouble.what));
  card.what.title = said(trouble.where);
  put(card.advice, said(trouble.advice));
}

/* What changes by itself between two answers: ages and waits. */
function showAges(card) {
  const camera = card.camera;
  const main = camera.streams.find((stream) => stream.stream === "main");
  put(card.last, main?.last_frame_utc_us ? t("ago", { time: duration(nowUs() - main.last_frame_utc_us) }) : "–");
  card.age.hidden = !card.pictureUs || !card.why.hidden;
  if (card.pictureUs) {
    const age = t("ago", { time: duration(nowUs() - card.pictureUs) });
    put(card.age, age);
    card.img.alt = t("picture_of", { name: camera.name, age });
  }
  card.none.hidden = Boolean(card.pictureUs);
  put(card.none, t(camera.verdict === "off" ? "state_off" : "no_picture"));
  const wait = main?.next_try_utc_us;
  let next = card.pictureUs ? t("picture_from", { time: moment(card.pictureUs) }) : "";
  if (wait) next = `${t("next_try", { time: duration(Math.max(0, wait - nowUs())) })}${next ? ` · ${next}` : ""}`;
  put(card.next, next);
}

function showToday(card, camera) {
  const key = JSON.stringify([camera.coverage, status.day_minutes, language]) + camera.covered_percent;
  if (card.todayKey === key) return;
  card.todayKey = key;
  card.today.parentElement.querySelector(".bar").setAttribute("viewBox", `0 0 ${status.day_minutes} 10`);
  const paths = { full: "", part: "", hurt: "" };
  for (const [start, end, kind] of camera.coverage) paths[kind] += `M${start} 0H${end}V10H${start}Z`;
  for (const kind of Object.keys(paths)) card[kind].setAttribute("d", paths[kind]);
  put(card.today, camera.covered_percent === null ? t(camera.coverage.length ? "today_begun" : "today_none")
    : t("today", { percent: number(camera.covered_percent, camera.covered_percent < 100 ? 1 : 0) }));
}

// Pictures: only of cards that are seen, two at a time

const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    const card = cards.get(entry.target.id.slice("camera-".length));
    if (card) card.isSeen = entry.isIntersecting;
  }
  fetchPictures();
}, { rootMargin: "200px" });

let fetching = 0;

function fetchPictures() {
  if (document.visibilityState !== "visible") return;
  const now = performance.now();
  const due = [...cards.values()]
    .filter((card) => card.isSeen && card.camera && now - card.askedMs > PICTURE_MS)
    .sort((a, b) => a.askedMs - b.askedMs);
  for (const card of due.slice(0, MOST_PICTURES_AT_ONCE - fetching)) fetchPicture(card);
}

async function fetchPicture(card) {
  card.askedMs = performance.now();
  fetching += 1;
  try {
    const answer = await fetch(`/api/v1/cameras/${card.id}/picture.jpg`, { signal: AbortSignal.timeout(PATIENCE_MS * 3) });
    if (answer.status !== 200) return;
    const takenUs = Number(answer.headers.get("X-Taken-Utc-Us"));
    if (takenUs === card.pictureUs) return;
    const url = URL.createObjectURL(await answer.blob());
    const probe = new Image();
    probe.src = url;
    await probe.decode();
    card.img.src = url;
    card.img.hidden = false;
    if (card.url) URL.revokeObjectURL(card.url);
    card.url = url;
    card.pictureUs = takenUs;
    if (card.camera) showAges(card);
  } catch { /* the next one may come */ } finally {
    fetching -= 1;
    fetchPictures();
  }
}

// Asking

function showStale() {
  const isStale = failing && performance.now() - heardMs > STALE_MS;
  document.body.classList.toggle("is-stale", isStale);
  $("stale").hidden = !isStale;
  if (isStale) put($("stale"), status ? t("stale", { time: moment(status.now_utc_us) }) : t("no_contact"));
}

function showAll() {
  document.documentElement.lang = language;
  document.querySelectorAll("[data-word]").forEach((element) => put(element, t(element.dataset.word)));
  document.querySelectorAll("[data-language]").forEach((button) =>
    button.setAttribute("aria-pressed", String(button.dataset.language === language)));
  if (!status) return;
  showSummary();
  showAlarms();
  showCameras();
  put($("footer"), t("footer", { version: status.version, zone: status.zone }));
}

async function ask() {
  if (document.visibilityState !== "visible") return;
  try {
    const answer = await fetch("/api/v1/status", { signal: AbortSignal.timeout(PATIENCE_MS) });
    if (!answer.ok) throw new Error(String(answer.status));
    status = await answer.json();
    heardMs = performance.now();
    failing = false;
    showAll();
    fetchPictures();
  } catch {
    failing = true;
  }
  showStale();
}

async function poll() {
  await ask();
  setTimeout(poll, POLL_MS);
}

document.querySelectorAll("[data-language]").forEach((button) => button.addEventListener("click", () => {
  language = button.dataset.language;
  try {
    localStorage.setItem("language", language);
  } catch { /* then only until the page is left */ }
  showAll();
}));

document.addEventListener("visibilitychange", () => void ask());
setInterval(() => {
  showStale();
  if (status) for (const card of cards.values()) if (card.camera) showAges(card);
}, 1000);

words = await (await fetch("/page/words.json")).json();
showAll();
await poll();
