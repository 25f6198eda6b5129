// Numbers in rows and columns: drawn at once, selectable as text, and read out by screen readers.

import { h, write } from "./dom.js";

export class Table {
  constructor() {
    this.head = h("tr", {});
    this.body = h("tbody", {});
    this.node = h("div", { class: "kd-table", tabindex: 0 }, h("table", {}, h("thead", {}, this.head), this.body));
  }

  /** Draw {columns, rows}: a column is {text, colour}, a row {name, part, cells} and a cell [number, what stands behind it]. */
  draw({ columns, rows }) {
    fit(this.head, columns.length + 1, (place) => h(place ? "th" : "td", place ? { scope: "col" } : {}));
    columns.forEach(({ text, colour }, place) => {
      const cell = this.head.children[place + 1];
      write(cell, text);
      cell.style.color = colour;
    });
    fit(this.body, rows.length, () => h("tr", {}, h("th", { scope: "row" })));
    rows.forEach(({ name, part, cells }, place) => {
      const row = this.body.children[place];
      row.toggleAttribute("data-part", part);
      write(row.firstChild, name);
      fit(row, cells.length + 1, () => h("td", {}, h("b", {}), h("span", {})));
      cells.forEach(([number, behind], column) => {
        const [first, second] = row.children[column + 1].children;
        write(first, number);
        write(second, behind);
      });
    });
  }

  resize() {}

  destroy() {}
}

/** Make a node have so many children. */
function fit(node, count, make) {
  while (node.children.length > count) node.lastChild.remove();
  while (node.children.length < count) node.append(make(node.children.length));
}
