// Between moments and pixels, from 90 days down to a second. Pure. Times in microseconds UTC.

export type View = { startUs: number; endUs: number };

export const LEAST_SPAN_US = 1e6;
export const MOST_SPAN_US = 90 * 86_400e6;

export const spanOf = (view: View): number => view.endUs - view.startUs;

export function toX(view: View, width: number, utcUs: number): number {
  return ((utcUs - view.startUs) / spanOf(view)) * width;
}

export function toUtc(view: View, width: number, x: number): number {
  return view.startUs + (x / width) * spanOf(view);
}

/** Larger (`factor` < 1) or smaller around a moment, which stays where it is. */
export function zoom(view: View, factor: number, aroundUs: number): View {
  const span = Math.min(MOST_SPAN_US, Math.max(LEAST_SPAN_US, spanOf(view) * factor));
  const share = (aroundUs - view.startUs) / spanOf(view);
  const startUs = aroundUs - share * span;
  return { startUs, endUs: startUs + span };
}

export function pan(view: View, byUs: number): View {
  return { startUs: view.startUs + byUs, endUs: view.endUs + byUs };
}

/** Keeps the view near footage that can exist: nothing later than a little after now. */
export function within(view: View, nowUs: number): View {
  const span = spanOf(view);
  const latest = nowUs + span * 0.1;
  const earliest = nowUs - MOST_SPAN_US - span * 0.1;
  if (view.endUs > latest) return { startUs: latest - span, endUs: latest };
  if (view.startUs < earliest) return { startUs: earliest, endUs: earliest + span };
  return view;
}

/** A view of that span with the moment in its middle. */
export function around(utcUs: number, spanUs: number): View {
  return { startUs: utcUs - spanUs / 2, endUs: utcUs + spanUs / 2 };
}

/** Follows a moment that leaves the view: by most of a page, so that it does not crawl. */
export function keepInView(view: View, utcUs: number): View {
  if (utcUs >= view.startUs && utcUs <= view.endUs) return view;
  const span = spanOf(view);
  return utcUs > view.endUs && utcUs < view.endUs + span
    ? { startUs: utcUs - span * 0.1, endUs: utcUs + span * 0.9 }
    : around(utcUs, span);
}
