// Probe samples as tiles; choosing one pins it in every panel.

import { h, write } from "./dom.js";
import { wire } from "./wire.js";

export class Gallery {
  #tiles = new Map(); // sample -> tile, kept while it is on show

  constructor() {
    this.node = h("div", { class: "kd-gallery" });
  }

  /** Draw {items, pinned}. */
  draw({ items, pinned, beside }) {
    const gone = new Set(this.#tiles.keys());
    items.forEach((item, place) => {
      gone.delete(item.sample);
      const tile = this.#tiles.get(item.sample) ?? this.#make(item);
      if (this.node.children[place] !== tile) this.node.insertBefore(tile, this.node.children[place] ?? null);
      this.#fill(tile, item, item.sample === pinned || item.sample === beside);
    });
    for (const sample of gone) {
      this.#tiles.get(sample).remove();
      this.#tiles.delete(sample);
    }
  }

  resize() {}

  destroy() {}

  #make({ sample, image }) {
    const face = image ? h("img", { alt: `Sample ${sample}` }) : h("span", { class: "kd-point" });
    const words = ["label", "teacher", "student"].map((role) => h("span", { class: `kd-word kd-${role}` }));
    const tile = h("button", { type: "button", class: "kd-tile", onclick: (event) => wire.look(event.shiftKey ? { beside: sample } : { sample }) }, face, ...words);
    this.#tiles.set(sample, tile);
    return tile;
  }

  #fill(tile, item, pinned) {
    tile.toggleAttribute("data-differs", item.differs);
    tile.setAttribute("aria-pressed", String(pinned));
    const face = tile.firstChild;
    if (!item.image) write(face, item.point);
    else if (face.src !== item.image) face.src = item.image;
    const said = { label: "is", teacher: "T", student: "S" };
    Object.entries(said).forEach(([role, sign], place) => {
      const word = tile.children[place + 1];
      word.hidden = item[role] == null;
      word.toggleAttribute("data-wrong", role !== "label" && item[role] !== item.label);
      write(word, `${sign} ${item[role]}`);
    });
    tile.title = `Sample ${item.sample}: pin it in every panel`;
  }
}
