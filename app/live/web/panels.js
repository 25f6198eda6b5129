// A grid of cards, one per panel. A card draws the newest message only, at most once per frame of the screen.

import { address } from "./base.js";
import { allow, h, icon, messageOf, nextFrame, save, spoken, write } from "./dom.js";
import { Field } from "./field.js";
import { Gallery } from "./gallery.js";
import { linkNote } from "./link.js";
import { Plot } from "./plot.js";
import { Table } from "./table.js";
import { wire } from "./wire.js";

const DRAWERS = { plotly: Plot, field: Field, gallery: Gallery, table: Table };
const MEMBER = { plotly: "figure", field: "field", gallery: "gallery", table: "table" };
const NEAR = "200px"; // a card this close to the screen is drawn already
const PATIENCE_MS = 15_000; // for the drawing of a card that nobody sees
const PICTURE = "Download the figure (PNG)";
const NUMBERS = "Download the data (CSV)";
const LATE = "The server did not answer in time; try again in a moment.";
const HEATS = [0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.2, 1.4, 1.6, 1.8, 2, 2.2, 2.5, 2.8, 3, 3.5, 4, 4.5, 5, 5.5, 6, 7, 8, 9, 10, 12, 14, 16, 18, 20];
const HEAT = "Display temperature"; // the training has one of its own
let grids = 0; // for an id of each

export class Panels {
  #cards = new Map();
  #unfolded = false;
  #link = linkNote();

  constructor() {
    this.grid = h("div", { class: "kd-grid" });
    const id = `kd-extra-${++grids}`;
    this.extra = h("div", { class: "kd-grid", id });
    this.more = h("button", { type: "button", class: "kd-button kd-more", "aria-controls": id, onclick: () => this.#unfold(!this.#unfolded) });
    this.root = h("section", { class: "kd kd-panels" }, this.grid, this.more, this.extra, this.#link.note);
    this.#unfold(false);
  }

  /** Show the panels that not everybody needs, or fold them away. */
  #unfold(wanted) {
    this.#unfolded = wanted;
    this.extra.hidden = !wanted;
    this.more.setAttribute("aria-expanded", String(wanted));
    this.#name();
  }

  /** What the button says: which panels it brings. */
  #name() {
    const titles = [...this.extra.children].map((card) => card.querySelector("h3").textContent);
    this.more.hidden = titles.length === 0;
    write(this.more, this.#unfolded ? "Fewer panels" : `${titles.length} more: ${titles.join(", ")}`);
  }

  /** New data from Python: cards that stay keep their node, their zoom and what they show. */
  update(data) {
    this.root.setAttribute("aria-label", data.label); // two groups of panels on one page have two names
    const wanted = data.panels.map(({ name }) => name);
    for (const [name, card] of this.#cards) {
      if (wanted.includes(name)) continue;
      card.destroy();
      this.#cards.delete(name);
    }
    this.#lay(this.grid, data.panels.filter(({ extra }) => !extra), data);
    this.#lay(this.extra, data.panels.filter(({ extra }) => extra), data);
    this.#name();
  }

  #lay(grid, panels, data) {
    panels.forEach((panel, place) => {
      const card = this.#cards.get(panel.name) ?? new Card(panel, data.plotly);
      this.#cards.set(panel.name, card);
      if (grid.children[place] !== card.root) grid.insertBefore(card.root, grid.children[place] ?? null);
      card.show(data.run, data.guard);
    });
  }

  destroy() {
    for (const card of this.#cards.values()) card.destroy();
    this.#link.end();
  }
}

class Card {
  #run = null;
  #guard = ""; // why a picture of rows may not be saved
  /** @type {(() => void) | null} */
  #leave = null;
  visible = false;
  /** @type {any} */
  #pending = null; // the newest message, not drawn yet
  #drawing = false;
  #heard = 0; // messages so far
  #due = 0; // the first of them since the server was last asked
  #shown = 0; // the last of them that is drawn

  constructor(panel, plotly) {
    this.panel = panel;
    this.drawer = new DRAWERS[panel.kind](plotly);
    this.body = h("div", { class: "kd-body" }, this.drawer.node);
    this.caption = h("p", { class: "kd-caption" }, panel.caption);
    this.lacks = h("p", { class: "kd-lacks" }, "…");
    this.root = h(
      "article",
      { class: `kd-card${panel.wide ? " kd-wide" : ""}`, id: `panel-${panel.name}`, "data-panel": panel.name, "data-kind": panel.kind },
      h("header", {}, h("h3", {}, panel.title), this.#tools()),
      this.caption,
      panel.softened ? this.#slider() : null,
      this.body,
      this.lacks,
    );
    this.root.dataset.updates = 0;
    this.root.dataset.empty = "waits";
    this.sizes = new ResizeObserver(() => this.drawer.resize());
    this.sizes.observe(this.body);
    this.sight = new IntersectionObserver(([entry]) => this.#look(entry.isIntersecting), { rootMargin: NEAR });
    this.sight.observe(this.root);
    wire.addEventListener("view", this.#onView);
    wire.addEventListener("learner", this.#onLearner);
    this.#onView();
  }

  /** Show a run; the same one again changes nothing, and of another one nothing stays. */
  show(run, guard) {
    this.#guard = this.panel.pictured ? guard : "";
    this.#offer();
    if (run === this.#run) return;
    const visible = this.visible;
    this.#look(false);
    this.#run = run;
    this.#pending = null; // of the run before
    this.#empty();
    this.#look(visible);
    this.#onView();
    this.#onLearner();
  }

  destroy() {
    this.#leave?.();
    this.sizes.disconnect();
    this.sight.disconnect();
    wire.removeEventListener("view", this.#onView);
    wire.removeEventListener("learner", this.#onLearner);
    this.drawer.destroy();
    this.root.remove();
  }

  /** Show nothing, in the same room, until there is a drawing: under a run's title no card shows the run before. */
  #empty() {
    const { offsetHeight } = this.body; // none while a sentence stands there
    if (offsetHeight) this.lacks.style.minHeight = `${offsetHeight}px`;
    this.root.dataset.empty = "waits";
    this.lacks.hidden = false;
    write(this.lacks, "…");
  }

  // Parts ----------------------------------------------------------------------------------------------------------

  #tools() {
    const tool = (sign, title, act) =>
      h("button", { type: "button", class: "kd-tool", title, "aria-label": `${title}: ${this.panel.title}`, onclick: act }, icon(sign));
    this.numbers = h("a", { class: "kd-tool", title: NUMBERS, "aria-label": `${NUMBERS}: ${this.panel.title}`, download: "" }, icon("data"));
    this.numbers.addEventListener("click", (event) => this.#saveNumbers(event));
    this.picture = this.drawer.picture ? tool("picture", PICTURE, () => this.#savePicture()) : null;
    return h("div", { class: "kd-tools" }, tool("full", "Full screen", () => this.#toggleFull()), this.picture, this.numbers);
  }

  #slider() {
    this.heat = h("input", { type: "range", "aria-label": HEAT, min: 0, max: HEATS.length - 1, step: 1 }); // a key, a stop
    this.heat.addEventListener("input", () => wire.look({ temperature: HEATS[this.heat.value] }));
    this.degree = h("output", {});
    const follow = () => wire.look({ temperature: null });
    const title = this.panel.name.startsWith("case-") ? "Reset to the default temperature" : "Follow the training temperature";
    this.follow = h("button", { type: "button", class: "kd-tool", title, hidden: "", onclick: follow }, "Reset");
    return h("div", { class: "kd-heat" }, h("span", { "aria-hidden": "true" }, HEAT), this.heat, this.degree, this.follow);
  }

  #onView = () => {
    const { theme: _, temperature, ...rest } = wire.view;
    if (temperature != null) this.#warm(temperature);
    if (this.follow) this.follow.hidden = temperature == null;
    const told = Object.entries({ temperature, ...rest }).filter(([, value]) => value != null && value !== "");
    const query = new URLSearchParams(told.map(([name, value]) => [name, String(value)]));
    this.csv = address(`api/runs/${this.#run}/panels/${this.panel.name}.csv?${query}`);
    this.#offer();
  };

  #onLearner = () => write(this.caption, spoken(this.panel.caption, wire.learners.get(this.#run) ?? "student"));

  /** Make the slider show the temperature of the display. */
  #warm(temperature) {
    if (!this.heat) return;
    const above = HEATS.findIndex((heat) => heat >= temperature); // a link may name one between two stops
    this.heat.value = above < 0 ? HEATS.length - 1 : above;
    this.heat.setAttribute("aria-valuetext", temperature);
    write(this.degree, temperature.toFixed(1));
  }

  /** Offer the files where there is something to save, or say why not. */
  #offer() {
    const reason = this.root.dataset.empty === "lacks" ? this.lacks.textContent : "";
    if (this.picture) allow(this.picture, reason || this.#guard, PICTURE);
    allow(this.numbers, reason, NUMBERS);
    if (reason) this.numbers.removeAttribute("href");
    else this.numbers.href = this.csv;
  }

  #toggleFull() {
    const fill = () => this.root.classList.toggle("kd-full"); // phones keep full screen for films, and frames may forbid it
    if (document.fullscreenElement) document.exitFullscreen();
    else if (this.root.requestFullscreen) this.root.requestFullscreen().catch(fill);
    else fill();
  }

  async #savePicture() {
    if (this.#guard || this.picture.hasAttribute("aria-busy")) return;
    this.picture.setAttribute("aria-busy", "true");
    await this.#drawn();
    this.picture.removeAttribute("aria-busy");
    if ("empty" in this.root.dataset) return; // the card says why
    const url = await this.drawer.picture(getComputedStyle(this.root).backgroundColor);
    save(url, `${this.#run}-${this.panel.name}.png`);
  }

  async #saveNumbers(event) {
    event.preventDefault(); // a browser says nothing of why a download failed
    if (!this.numbers.href) return; // the card says why
    const answer = await fetch(this.numbers.href).catch(() => null);
    if (!answer?.ok) return this.#say(answer ? await answer.text() : LATE);
    const name = /filename="(.+)"/.exec(answer.headers.get("content-disposition") ?? "")?.[1] ?? `${this.panel.name}.csv`;
    save(`data:text/csv;charset=utf-8,${encodeURIComponent(await answer.text())}`, name);
  }

  /** Wait until the newest is drawn here: a card out of sight asks for nothing by itself. */
  async #drawn() {
    if (!this.#leave) this.#watch();
    const [goal, end] = [Math.max(this.#due, this.#heard), performance.now() + PATIENCE_MS];
    while (this.#shown < goal && performance.now() < end) await nextFrame();
    if (this.#shown < this.#due) this.#say(LATE);
    if (!this.visible) this.#unwatch();
  }

  // Drawing --------------------------------------------------------------------------------------------------------

  #look(visible) {
    this.visible = visible;
    if (visible && this.#run && !this.#leave) this.#watch();
    else if (!visible) this.#unwatch();
  }

  #watch() {
    this.#due = this.#heard + 1;
    this.#leave = wire.watch(this.#run, this.panel.name, (message) => this.#hear(message));
  }

  #unwatch() {
    this.#leave?.();
    this.#leave = null;
    if (this.root.dataset.empty === "lacks") write(this.lacks, "…"); // what is missing now may be there once it is seen again
  }

  #hear(message) {
    this.#pending = message;
    this.#heard += 1;
    if (!this.#drawing) this.#draw();
  }

  async #draw() {
    this.#drawing = true;
    while (this.#pending) {
      const [message, number, run] = [this.#pending, this.#heard, this.#run];
      this.#pending = null;
      try {
        this.#say(message.lacks);
        if (!("lacks" in message)) await this.drawer.draw(message[MEMBER[this.panel.kind]], run);
        const temperature = wire.view.temperature ?? message.figure?.layout.meta?.temperature;
        if (temperature != null) this.#warm(temperature);
        this.root.dataset.run = message.run ?? run;
      } catch (error) {
        if (run === this.#run) this.#say(messageOf(error));
        console.error(error);
      }
      this.root.dataset.updates = Number(this.root.dataset.updates) + 1;
      await nextFrame();
      this.#shown = number;
    }
    this.#drawing = false;
  }

  /** Say why there is nothing to see, or show the drawing. */
  #say(sentence) {
    this.lacks.hidden = sentence == null;
    this.lacks.style.removeProperty("min-height");
    if (sentence == null) delete this.root.dataset.empty;
    else {
      this.root.dataset.empty = "lacks";
      write(this.lacks, sentence);
    }
    this.#offer();
  }
}
