// What the pages' scripts find in a browser that TypeScript does not know of.

interface Window {
  Plotly: any; // loaded by library.js
  walk: any; // tests/walk/page.js
}

interface LayoutShift extends PerformanceEntry {
  hadRecentInput: boolean;
  value: number;
}

declare const walk: any;

/** Of live/web/shade.js, which Python puts before draw_points.js. */
declare function shade(root: Element): "light" | "dark";
