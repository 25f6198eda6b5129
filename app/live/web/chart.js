// A Plotly figure among the elements of a page: drawn once it is about to be seen, and anew when Python sends it again.

import { h, icon, messageOf } from "./dom.js";
import { plotly } from "./library.js";

const NEAR = "200px"; // one this close to the screen is drawn already
const CONFIG = { displayModeBar: false };
const mounted = new WeakMap(); // the element Streamlit gives us -> the chart in it

/** Called at each change of data or theme; of the answers see component.js. */
export function mount({ data, parentElement }) {
  let chart = mounted.get(parentElement);
  if (!chart) {
    chart = new Chart(data.plotly);
    mounted.set(parentElement, chart);
    parentElement.append(chart.root);
  }
  chart.show(data);
  const call = (chart.calls = (chart.calls ?? 0) + 1);
  return () => {
    if (call < chart.calls) return; // it was overtaken; the chart stays
    mounted.delete(parentElement);
    chart.destroy();
  };
}

class Chart {
  /** @type {any} */
  #figure = null; // parsed
  #near = false;
  #drawn = false;

  constructor(path) {
    this.library = path;
    this.node = h("div");
    const full = h("button", { type: "button", title: "Full screen", "aria-label": "Full screen", onclick: () => this.#toggleFull() }, icon("full"));
    this.root = h("div", { class: "kd-chart", "data-empty": "waits" }, this.node, full);
    this.sizes = new ResizeObserver(() => this.#resize());
    this.sizes.observe(this.node);
    this.sight = new IntersectionObserver((entries) => this.#look(entries.at(-1)?.isIntersecting ?? false), { rootMargin: NEAR });
    this.sight.observe(this.root);
  }

  /** Show a figure, a JSON text, so many px high. */
  show({ figure, height, paper }) {
    this.root.style.setProperty("--kd-height", `${height}px`);
    this.root.style.setProperty("--kd-paper", paper);
    this.#figure = JSON.parse(figure);
    if (this.#near) this.#draw();
  }

  destroy() {
    this.sizes.disconnect();
    this.sight.disconnect();
    this.root.remove();
    if (this.#drawn) window.Plotly.purge(this.node);
  }

  #look(near) {
    if (!near || this.#near) return;
    this.#near = true;
    this.#draw();
  }

  async #draw() {
    const figure = this.#figure;
    try {
      const [Plotly] = await Promise.all([plotly(this.library), document.fonts.ready]); // texts are measured once
      if (figure !== this.#figure || !this.root.isConnected) return; // a newer one came, or it was left
      this.#drawn = true;
      await Plotly.react(this.node, figure.data, figure.layout, CONFIG);
    } catch (error) {
      this.node.textContent = messageOf(error);
      console.error(error);
    }
    delete this.root.dataset.empty;
  }

  #resize() {
    if (this.#drawn && this.node.clientWidth) window.Plotly.Plots.resize(this.node);
  }

  #toggleFull() {
    if (document.fullscreenElement) document.exitFullscreen();
    else this.root.requestFullscreen?.();
  }
}
