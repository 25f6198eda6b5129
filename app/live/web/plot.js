// A Plotly figure that keeps its node, and with it the viewer's zoom and selection.

import { h } from "./dom.js";

const CONFIG = { displaylogo: false, modeBarButtonsToRemove: ["toImage", "select2d", "lasso2d"] }; // never another object
let library = null; // one promise for the whole page

function plotly(address) {
  library ??= new Promise((done, failed) => {
    const script = h("script", { src: address });
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

export class Plot {
  #drawn = null;

  constructor(address) {
    this.address = address;
    this.node = h("div", { class: "kd-plot" });
  }

  /** Draw a whole figure {data, layout}; another run is another view, which begins without zoom. */
  async draw({ data, layout }, run) {
    const [Plotly] = await Promise.all([plotly(this.address), document.fonts.ready]); // texts are measured once
    if (!this.node.isConnected) return;
    const font = { ...layout.font, family: getComputedStyle(this.node).fontFamily };
    const shown = { ...layout, font, uirevision: `${run} ${layout.uirevision}`, autosize: true };
    this.#drawn = await Plotly.react(this.node, data, shown, CONFIG);
  }

  resize() {
    if (this.#drawn && this.node.clientWidth) window.Plotly.Plots.resize(this.node);
  }

  /** The figure as it is now, zoom included, as a PNG's data URL. */
  picture(paper) {
    const { data, layout, clientWidth: width, clientHeight: height } = this.node;
    return window.Plotly.toImage({ data, layout: { ...layout, paper_bgcolor: paper } }, { format: "png", width, height, scale: 2 });
  }

  destroy() {
    if (this.#drawn) window.Plotly.purge(this.node);
  }
}
