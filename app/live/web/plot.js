// A Plotly figure that keeps its node, and with it the viewer's zoom and selection.

import { picked, toggled } from "./choose.js";
import { h } from "./dom.js";
import { plotly } from "./library.js";
import { fitted } from "./notes.js";
import { wire } from "./wire.js";

const HOVERS = !matchMedia("(hover: none)").matches; // where nothing does, the buttons would lie on the legend for good
const BOXED = { displaylogo: false, showSendToCloud: false, modeBarButtonsToRemove: ["toImage", "lasso2d"] };
const BARE = ["toImage", "select2d", "lasso2d"];
const CONFIG = { ...BOXED, displayModeBar: HOVERS && "hover", modeBarButtonsToRemove: BARE }; // never another object
const HALT = [[null], { mode: "immediate", frame: { duration: 0, redraw: false }, transition: { duration: 0 } }];
const UNFIT = /[^\p{L}\p{N}_-]+/gu; // in a name of which Plotly makes selectors, as to find a colour bar
const ROOM = 1.15; // an image knows no web fonts, and what stands in for them is wider
const INTERRUPTED = (reason) => { if (reason) throw reason; }; // Plotly gives no reason when other frames take over
const HALTED_MS = 500; // after which a figure that played has come to rest
const TICK_PX = 16; // a name on an axis needs that much, upright or turned
const MARGINS_PX = 110;
const COLORBAR_PX = 90;
const PASSES = 8; // of a figure whose words change what room there is for them

/** The layout with as many names on axes of classes as have room. */
function roomy(layout, { clientWidth, clientHeight }, taken) {
  const sizes = { x: clientWidth - taken, y: clientHeight };
  const axes = Object.entries(layout).map(([name, value]) => {
    const size = /^[xy]axis\d*$/.test(name) && value.tickmode === "array" ? sizes[name[0]] : 0;
    const [low, high] = value?.domain ?? [0, 1];
    return [name, size ? thinned(value, (size - MARGINS_PX) * (high - low)) : value];
  });
  return Object.fromEntries(axes);
}

/** Every so many ticks of an axis; one in bold stays, and its neighbours give way. */
function thinned(axis, room) {
  const { tickvals, ticktext } = axis;
  const every = Math.ceil((tickvals.length * TICK_PX) / Math.max(room, TICK_PX));
  if (every < 2) return axis;
  const bold = ticktext?.findIndex((text) => text.startsWith("<b>")) ?? -1;
  const stays = (place) => place === bold || (place % every === 0 && (bold < 0 || Math.abs(place - bold) >= every));
  const kept = (values) => values?.filter((_, place) => stays(place));
  return { ...axis, tickvals: kept(tickvals), ticktext: kept(ticktext) };
}

export class Plot {
  /** @type {any} */
  #drawn = null;
  #plays = false; // whether it has frames, which may be under way
  /** @type {any} */
  #figure = null; // as it came, without its words wrapped
  /** @type {string | null} */
  #fit = null; // how it was fitted to the card last
  #more = 0; // px that it has beyond a card's usual height
  #most = { of: "", more: 0 }; // that any figure of this view and width needed so far, so that no card jumps to and fro

  constructor(path) {
    this.library = path;
    this.node = h("div", { class: "kd-plot" });
  }

  /** Draw a whole figure {data, layout, frames?}; another run is another view, which begins without zoom. */
  async draw({ data, layout, frames }, run) {
    const [Plotly] = await Promise.all([plotly(this.library), document.fonts.ready]); // texts are measured once
    if (!this.node.isConnected) return;
    const font = { ...layout.font, family: getComputedStyle(this.node).fontFamily };
    const bars = data.filter(({ colorbar, showscale }) => colorbar && showscale !== false).length;
    const shown = { ...roomy(layout, this.node, bars * COLORBAR_PX), font, uirevision: `${run} ${layout.uirevision}`, autosize: true };
    const named = data.map((trace) => (trace.uid ? { ...trace, uid: trace.uid.replace(UNFIT, "-") } : trace));
    const first = !this.#drawn;
    const config = layout.meta?.box ? BOXED : CONFIG;
    if (this.#plays) await Plotly.animate(this.node, ...HALT); // a new figure has other frames
    this.#plays = Boolean(frames);
    this.#figure = { data: named, layout: shown, config, frames };
    this.#fit = null;
    await this.#fitted();
    if (first && this.#drawn && this.node.isConnected) this.#listen(); // it may have been left or folded meanwhile
  }

  /** Draw the figure with its words wrapped to the card, and the card as high as they need. */
  async #fitted() {
    for (let pass = 0; pass < PASSES && this.node.clientWidth; pass++) {
      const frame = this.#frame();
      const key = JSON.stringify(frame, (_, value) => (typeof value === "number" ? Math.round(value) : value));
      if (key === this.#fit) break;
      this.#fit = key;
      const { layout, wanted } = fitted(this.#figure.layout, frame);
      this.#rise(wanted - frame.usual);
      this.#drawn = await window.Plotly.react(this.node, { ...this.#figure, layout });
    }
    this.#most.more = this.#more;
  }

  /** The px there are, and those that margins and plots took when it was drawn last; before, those that are asked for. */
  #frame() {
    const { clientWidth: width, clientHeight: height, parentElement } = this.node;
    const { l, r, t, b } = this.#figure.layout.margin;
    const size = this.#drawn ? { ...this.node._fullLayout._size } : { l, t, b, w: width - l - r, h: height - t - b };
    const usual = parseFloat(getComputedStyle(parentElement).minHeight) - this.#more;
    const legend = this.node.querySelector("g.legend .bg")?.getBBox().height ?? 0;
    return { width, height, usual, size, legend };
  }

  /** Make the card's body so many px higher than usual. */
  #rise(more) {
    const of = `${this.#figure.layout.uirevision} ${this.node.clientWidth}`;
    if (of !== this.#most.of) this.#most = { of, more: 0 };
    this.#more = Math.ceil(Math.max(this.#most.more, more));
    this.node.parentElement.style.setProperty("--kd-more", `${this.#more}px`);
  }

  /** A click on what stands for rows selects them or pins one; with Shift it is pinned beside the other. */
  #listen() {
    this.node.on("plotly_click", ({ points, event }) => {
      const change = points.length ? picked(points[0], wire.view.select) : null;
      if (change) wire.look(event?.shiftKey && "sample" in change ? { beside: change.sample } : change);
    });
    this.node.on("plotly_buttonclicked", ({ button }) =>
      window.Plotly.animate(this.node, ...button.args).catch(INTERRUPTED));
    this.node.on("plotly_selected", (event) => {
      const range = event?.range;
      const { box, box2 } = this.node.layout.meta ?? {}; // of the first axes, and of the second
      const part = range && (range.x ? box : box2);
      if (!part) return;
      const edges = [...(range.x ?? range.x2), ...(range.y ?? range.y2)].map((edge) => Number(edge.toPrecision(4)));
      wire.look({ select: toggled(wire.view.select, `box.${part}=${edges.join(",")}`) });
    });
  }

  async resize() {
    if (!this.#drawn || !this.node.clientWidth) return;
    const { width, height } = this.node._fullLayout;
    if (width === this.node.clientWidth && height === this.node.clientHeight) return;
    await window.Plotly.Plots.resize(this.node);
    await this.#fitted();
  }

  /** The figure as it is now, zoom included, as a PNG's data URL. */
  picture(paper) {
    const { data, layout } = this.node;
    const [width, height] = [this.node.clientWidth, this.node.clientHeight].map((side) => Math.round(side * ROOM));
    return window.Plotly.toImage({ data, layout: { ...layout, paper_bgcolor: paper } }, { format: "png", width, height, scale: 2 });
  }

  destroy() {
    const purge = () => window.Plotly.purge(this.node);
    if (!this.#drawn) return;
    if (!this.#plays) return purge();
    window.Plotly.animate(this.node, ...HALT);
    setTimeout(purge, HALTED_MS);
  }
}
