// Digital zoom by wheel, pinch and drag on an element.

import { panBy, zoomAt, type Zoom } from "../player/zoom";

type Options = { isOn: boolean; get: () => Zoom; set: (zoom: Zoom) => void };

export function zoomable(element: HTMLElement, options: Options): { update(now: Options): void; destroy(): void } {
  const fingers = new Map<number, { x: number; y: number }>();

  const share = (x: number, y: number): [number, number] => {
    const box = element.getBoundingClientRect();
    return [(x - box.left) / box.width, (y - box.top) / box.height];
  };
  const wheel = (event: WheelEvent): void => {
    if (!options.isOn) return;
    event.preventDefault();
    options.set(zoomAt(options.get(), Math.exp(-event.deltaY * 0.0018), ...share(event.clientX, event.clientY)));
  };
  const down = (event: PointerEvent): void => {
    if (!options.isOn || (event.pointerType === "mouse" && event.button !== 0)) return;
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    element.setPointerCapture(event.pointerId);
  };
  const move = (event: PointerEvent): void => {
    const before = fingers.get(event.pointerId);
    if (!before) return;
    const other = [...fingers].find(([id]) => id !== event.pointerId)?.[1];
    const now = { x: event.clientX, y: event.clientY };
    if (other) {
      const apart = (a: { x: number; y: number }): number => Math.hypot(a.x - other.x, a.y - other.y);
      const middle = share((now.x + other.x) / 2, (now.y + other.y) / 2);
      options.set(zoomAt(options.get(), apart(now) / Math.max(1, apart(before)), ...middle));
    } else {
      const [x, y] = share(now.x, now.y);
      const [fromX, fromY] = share(before.x, before.y);
      options.set(panBy(options.get(), x - fromX, y - fromY));
    }
    fingers.set(event.pointerId, now);
  };
  const up = (event: PointerEvent): void => void fingers.delete(event.pointerId);

  element.addEventListener("wheel", wheel, { passive: false });
  element.addEventListener("pointerdown", down);
  element.addEventListener("pointermove", move);
  element.addEventListener("pointerup", up);
  element.addEventListener("pointercancel", up);
  const touch = (): void => void (element.style.touchAction = options.isOn ? "none" : "auto");
  touch();
  return {
    update(now) {
      options = now;
      touch();
    },
    destroy() {
      fingers.clear();
      element.removeEventListener("wheel", wheel);
    },
  };
}
