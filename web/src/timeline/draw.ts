// Draws the timeline on a canvas.

import { day, minute, second, shortDay, thousandth } from "../words/times";
import { isMissing, type Coverage } from "./coverage";
import { toX, type View } from "./geometry";
import { ticks } from "./ticks";

export type Lane = { name: string; layers: Coverage[] };
export type Marks = { cursorUs: number; nowUs: number; inUs: number | null; outUs: number | null; hoverUs: number | null };
export type Colours = Record<"ink" | "quiet" | "line" | "full" | "part" | "hole" | "bad" | "accent" | "mark", string>;

export const SCALE_HEIGHT = 30;
export const LANE_HEIGHT = 26;
const LANE_GAP = 4;
/** What is newer than this may not have been asked for yet. */
const NEWEST_US = 60e6;

export function heightFor(lanes: number): number {
  return SCALE_HEIGHT + Math.max(1, lanes) * (LANE_HEIGHT + LANE_GAP) + 4;
}

/** Which lane a height is in. */
export function laneAt(y: number, lanes: number): number {
  return Math.min(lanes - 1, Math.max(0, Math.floor((y - SCALE_HEIGHT) / (LANE_HEIGHT + LANE_GAP))));
}

export function coloursOf(element: Element): Colours {
  const style = getComputedStyle(element);
  const colour = (name: string): string => style.getPropertyValue(`--${name}`).trim();
  return {
    ink: colour("ink"), quiet: colour("quiet"), line: colour("line"), full: colour("good-bar"), part: colour("warn-bar"),
    hole: colour("hole"), bad: colour("bad"), accent: colour("accent"), mark: colour("mark"),
  };
}

export function draw(canvas: CanvasRenderingContext2D, width: number, view: View, zoneUs: number, lanes: Lane[], marks: Marks, colours: Colours): void {
  const height = heightFor(lanes.length);
  canvas.clearRect(0, 0, width, height);
  drawScale(canvas, width, height, view, zoneUs, colours);
  lanes.forEach((lane, index) => drawLane(canvas, width, view, lane, SCALE_HEIGHT + index * (LANE_HEIGHT + LANE_GAP), marks.nowUs, colours));
  drawMarks(canvas, width, height, view, marks, colours);
}

function drawScale(canvas: CanvasRenderingContext2D, width: number, height: number, view: View, zoneUs: number, colours: Colours): void {
  const { kind, marks } = ticks(view, width, zoneUs);
  canvas.font = "12px system-ui, sans-serif";
  canvas.textBaseline = "middle";
  canvas.textAlign = "left";
  const label = (utcUs: number): string =>
    kind === "day" ? shortDay(utcUs) : kind === "minute" ? minute(utcUs) : kind === "second" ? second(utcUs) : thousandth(utcUs).slice(0, -2);
  // A scale of hours without a midnight in it would not say which day it is.
  const date = kind !== "day" && !marks.some((mark) => mark.isMidnight) ? day(view.startUs) : "";
  let lastX = date ? canvas.measureText(date).width - 8 : -100;
  canvas.fillStyle = colours.ink;
  canvas.fillText(date, 0, 11);
  for (const mark of marks) {
    const x = Math.round(toX(view, width, mark.utcUs)) + 0.5;
    canvas.strokeStyle = colours.line;
    canvas.beginPath();
    canvas.moveTo(x, mark.isMidnight && kind !== "day" ? 2 : 20);
    canvas.lineTo(x, height);
    canvas.stroke();
    const isDay = mark.isMidnight && kind !== "day";
    canvas.fillStyle = isDay ? colours.ink : colours.quiet;
    const text = isDay ? shortDay(mark.utcUs) : label(mark.utcUs);
    if (x - lastX <= 20) continue;
    canvas.fillText(text, x + 4, 11);
    lastX = x;
  }
}

function drawLane(canvas: CanvasRenderingContext2D, width: number, view: View, lane: Lane, top: number, nowUs: number, colours: Colours): void {
  const columns = Math.max(1, Math.round(width));
  const end = Math.min(width, toX(view, width, nowUs));
  if (end > 0) {
    canvas.fillStyle = colours.hole;
    canvas.fillRect(0, top, end, LANE_HEIGHT);
  }
  // Where spans are known exactly, a column at the edge of a hole is not "in part": its hole is marked as such.
  const shares = new Float32Array(columns).fill(Number.NaN);
  for (const layer of lane.layers) {
    layer.columns(view, columns).forEach((share, x) => {
      if (!Number.isNaN(share)) shares[x] = layer.isExact ? Math.round(share) : share;
    });
  }
  const kindOf = (share: number): "full" | "part" | "none" => (share > 0.985 ? "full" : share > 0 ? "part" : "none");
  for (let x = 0; x < columns; ) {
    const kind = kindOf(shares[x]!);
    let to = x + 1;
    while (to < columns && kindOf(shares[to]!) === kind) to += 1;
    if (kind !== "none") {
      // Not by colour alone: what is covered in part is lower.
      const height = kind === "full" ? LANE_HEIGHT : LANE_HEIGHT * 0.6;
      canvas.fillStyle = kind === "full" ? colours.full : colours.part;
      canvas.fillRect(x, top + LANE_HEIGHT - height, to - x, height);
    }
    x = to;
  }
  // Holes with a known cause carry a line of their own, so that a hole of a second is seen from afar.
  canvas.fillStyle = colours.bad;
  const known = lane.layers.findLast(({ asked }) => asked.startUs <= view.startUs && asked.endUs >= Math.min(view.endUs, nowUs - NEWEST_US)) ?? lane.layers[0];
  for (const hole of known?.holes ?? []) {
    const [from, to] = [toX(view, width, hole.startUs), toX(view, width, hole.endUs)];
    if (isMissing(hole) && to >= 0 && from <= width) canvas.fillRect(from, top + LANE_HEIGHT - 4, Math.max(2, to - from), 4);
  }
}

function drawMarks(canvas: CanvasRenderingContext2D, width: number, height: number, view: View, marks: Marks, colours: Colours): void {
  if (marks.inUs !== null || marks.outUs !== null) {
    const from = toX(view, width, marks.inUs ?? marks.outUs!);
    const to = toX(view, width, marks.outUs ?? marks.inUs!);
    canvas.fillStyle = colours.mark;
    canvas.globalAlpha = 0.22;
    canvas.fillRect(from, SCALE_HEIGHT - 4, to - from, height);
    canvas.globalAlpha = 1;
    if (marks.inUs !== null) canvas.fillRect(from - 1, SCALE_HEIGHT - 6, 3, height);
    if (marks.outUs !== null) canvas.fillRect(to - 1, SCALE_HEIGHT - 6, 3, height);
  }
  if (marks.hoverUs !== null) {
    canvas.fillStyle = colours.quiet;
    canvas.fillRect(Math.round(toX(view, width, marks.hoverUs)), 0, 1, height);
  }
  const x = Math.round(toX(view, width, marks.cursorUs));
  if (x < -8 || x > width + 8) return;
  canvas.fillStyle = colours.ink;
  canvas.fillRect(x - 1, 20, 2, height);
  canvas.beginPath();
  canvas.moveTo(x - 7, 18);
  canvas.lineTo(x + 7, 18);
  canvas.lineTo(x, 28);
  canvas.fill();
}
