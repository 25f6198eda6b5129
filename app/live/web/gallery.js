// Probe samples as tiles; choosing one pins it in every panel.

import { h, roleOf, write } from "./dom.js";
import { wire } from "./wire.js";

export class Gallery {
  #tiles = new Map(); // sample -> tile, kept while it is on show
  #run = null; // whose samples those are

  constructor() {
    this.node = h("div", { class: "kd-gallery" });
  }

  /** Draw {items, pinned, learner}; another run has other samples. */
  draw({ items, pinned, beside, learner = "student" }, run) {
    if (run !== this.#run) this.#forget();
    this.#run = run;
    const gone = new Set(this.#tiles.keys());
    items.forEach((item, place) => {
      gone.delete(item.sample);
      const tile = this.#tiles.get(item.sample) ?? this.#make(item);
      if (this.node.children[place] !== tile) this.node.insertBefore(tile, this.node.children[place] ?? null);
      this.#fill(tile, item, item.sample === pinned || item.sample === beside, learner);
    });
    for (const sample of gone) {
      this.#tiles.get(sample).remove();
      this.#tiles.delete(sample);
    }
  }

  resize() {}

  destroy() {}

  #forget() {
    this.#tiles.clear();
    this.node.replaceChildren();
  }

  #make({ sample }) {
    const words = ["label", "teacher", "student"].map(() => h("span", {}));
    const tile = h("button", { type: "button", class: "kd-tile", onclick: (event) => wire.look(event.shiftKey ? { beside: sample } : { sample }) }, h("span", { class: "kd-point" }), ...words);
    this.#tiles.set(sample, tile);
    return tile;
  }

  /** What stands for a sample: its picture, or its numbers. */
  #face(tile, { sample, image, point }) {
    const before = tile.firstChild;
    const kind = image ? "IMG" : "SPAN";
    const face = before.tagName === kind ? before : image ? h("img", { alt: `Sample ${sample}` }) : h("span", { class: "kd-point" });
    if (face !== before) before.replaceWith(face);
    if (!image) write(face, point);
    else if (face.src !== image) face.src = image;
  }

  #fill(tile, item, pinned, learner) {
    tile.toggleAttribute("data-differs", item.differs);
    tile.setAttribute("aria-current", String(pinned)); // one of many, not a switch
    this.#face(tile, item);
    const said = { label: "is", teacher: "T", student: learner[0].toUpperCase() };
    Object.entries(said).forEach(([role, sign], place) => {
      const word = tile.children[place + 1];
      word.className = `kd-word kd-${role === "student" ? roleOf(learner) : role}`;
      word.hidden = item[role] == null;
      word.toggleAttribute("data-wrong", role !== "label" && item[role] !== item.label);
      write(word, `${sign} ${item[role]}`);
    });
    tile.title = `Sample ${item.sample}: pin it in every panel`;
  }
}
