// Plotly, of which a page loads one copy, when its first figure is about to be seen.

import { address } from "./base.js";
import { h } from "./dom.js";

/** @type {Promise<any> | null} */
let library = null; // one promise for the whole page

/** Plotly, from its path on this server. */
export function plotly(path) {
  library ??= new Promise((done, failed) => {
    const script = h("script", { src: address(path) });
    script.onload = () => done(window.Plotly);
    script.onerror = () => {
      library = null;
      script.remove();
      failed(new Error("The chart library could not be loaded; reload the page."));
    };
    document.head.append(script);
  });
  return library;
}
