// How tiles lie on the wall. Pure.

export const LAYOUTS = [1, 4, 9, 16, 25] as const;
export type Layout = (typeof LAYOUTS)[number];

/** On a narrow screen a square of tiles would be stamps: fewer columns, and the page scrolls. */
export function columnsFor(layout: Layout, widthPx: number): number {
  const square = Math.sqrt(layout);
  if (widthPx >= 700) return square;
  return layout <= 4 ? 1 : layout === 9 ? 2 : 3;
}

/** The widest a tile may be so that all rows of the layout fit the height. */
export function tileWidth(layout: Layout, columns: number, widthPx: number, heightPx: number, gapPx: number): number {
  const byWidth = (widthPx - gapPx * (columns - 1)) / columns;
  if (columns * columns !== layout) return byWidth;
  const byHeight = ((heightPx - gapPx * (columns - 1)) / columns) * (16 / 9);
  return Math.max(80, Math.floor(Math.min(byWidth, byHeight)));
}

/** Where the focus goes with an arrow key. */
export function neighbour(index: number, key: string, columns: number, count: number): number {
  const to =
    key === "ArrowLeft" ? index - 1 : key === "ArrowRight" ? index + 1 : key === "ArrowUp" ? index - columns : index + columns;
  return to >= 0 && to < count ? to : index;
}

export function pageCount(cameras: number, layout: Layout): number {
  return Math.max(1, Math.ceil(cameras / layout));
}
