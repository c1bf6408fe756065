// Digital zoom of a picture that fills a box. Pure. `x`, `y`: where the picture's corner lies, in shares of the box.

export type Zoom = { scale: number; x: number; y: number };

export const NO_ZOOM: Zoom = { scale: 1, x: 0, y: 0 };
const MOST = 12;

function within(zoom: Zoom): Zoom {
  const least = 1 - zoom.scale;
  const clamp = (value: number): number => Math.min(0, Math.max(least, value));
  return { scale: zoom.scale, x: clamp(zoom.x), y: clamp(zoom.y) };
}

/** Larger by `factor`, with the point (in shares of the box) staying where it is. */
export function zoomAt(zoom: Zoom, factor: number, px: number, py: number): Zoom {
  const scale = Math.min(MOST, Math.max(1, zoom.scale * factor));
  if (scale < 1.02) return NO_ZOOM;
  const grown = scale / zoom.scale;
  return within({ scale, x: px - (px - zoom.x) * grown, y: py - (py - zoom.y) * grown });
}

export function panBy(zoom: Zoom, dx: number, dy: number): Zoom {
  return within({ scale: zoom.scale, x: zoom.x + dx, y: zoom.y + dy });
}

export function cssOf(zoom: Zoom): string {
  return zoom.scale === 1 ? "none" : `translate(${(zoom.x * 100).toFixed(3)}%, ${(zoom.y * 100).toFixed(3)}%) scale(${zoom.scale.toFixed(4)})`;
}
