// The decision field: teacher, student and their signed disagreement on one plane, under one cursor and one zoom.

import { capital, h, percent, write } from "./dom.js";
import { UNREAD, paintDisagreement, paintNetwork, parse, pen } from "./plane.js";
import { wire } from "./wire.js";

const CLOSEST = 40; // most that can be zoomed in
const CLICK_PX = 4; // moved less than this, it was a click
const LEGEND = 12; // classes that fit into a legend

/** @typedef {[x0: number, x1: number, y0: number, y1: number]} Rect */

export class Field {
  /** @type {import("./plane.js").Plane} */
  #plane = UNREAD; // the newest parsed message
  /** @type {Rect} */
  #rect = [0, 1, 0, 1]; // what is on show: [x0, x1, y0, y1]
  /** @type {[number, number] | null} */
  #cursor = null; // [x, y] under the pointer, in every canvas
  /** @type {any[]} */
  #views = []; // {name, canvas, context, painted}
  /** @type {{x: number, y: number, rect: Rect, moved: boolean} | null} */
  #grip = null; // where a drag began
  #queued = false;
  #pictures = new Map(); // data URL -> image
  #run = null; // whose plane it is
  #told = ""; // what legend and titles were made of

  constructor() {
    this.row = h("div", { class: "kd-planes" });
    this.readout = h("p", { class: "kd-readout" });
    this.legend = h("div", { class: "kd-legend" });
    this.node = h("div", { class: "kd-field" }, this.row, this.legend, this.readout);
  }

  /** Draw the bytes of the panel; another run is another view, which begins without zoom. */
  draw(bytes, run) {
    const before = this.#plane;
    this.#plane = parse(bytes);
    const { extent, teacher, classes, colours, theme, learner } = this.#plane.info;
    if (run !== this.#run || String(before.info.extent) !== String(extent)) this.#rect = extent;
    this.#run = run;
    const told = JSON.stringify([teacher, classes, colours, theme, learner]);
    if (this.#told !== told) {
      this.#build(teacher ? ["teacher", "student", "disagree"] : ["student"]);
      this.#explain();
    }
    this.#told = told;
    this.#paint();
    this.#render();
  }

  resize() {
    for (const { canvas } of this.#views) {
      const size = Math.round(canvas.clientWidth * devicePixelRatio);
      if (size && canvas.width !== size) canvas.width = canvas.height = size;
    }
    if (this.#plane !== UNREAD) this.#render();
  }

  /** All planes side by side, as a PNG's data URL. */
  picture(paper) {
    const size = this.#views[0].canvas.width;
    const [gap, head] = [size * 0.04, size * 0.09];
    const sheet = h("canvas", { width: this.#views.length * (size + gap) + gap, height: size + head + gap });
    const context = sheet.getContext("2d");
    context.fillStyle = paper;
    context.fillRect(0, 0, sheet.width, sheet.height);
    context.fillStyle = this.#plane.info.theme.ink;
    context.font = `600 ${size * 0.045}px ${getComputedStyle(this.node).fontFamily}`;
    this.#views.forEach(({ name, canvas }, place) => {
      const left = gap + place * (size + gap);
      context.fillText(this.#title(name), left, head * 0.7);
      context.drawImage(canvas, left, head);
    });
    return sheet.toDataURL("image/png");
  }

  destroy() {}

  // Parts ----------------------------------------------------------------------------------------------------------

  #build(names) {
    if (this.#views.length !== names.length) this.#lay(names);
    const { theme } = this.#plane.info;
    for (const { name, canvas } of this.#views) {
      const figcaption = canvas.previousSibling;
      write(figcaption, this.#title(name));
      figcaption.style.color = name === "disagree" ? "" : theme[name];
      canvas.setAttribute("aria-label", `${this.#title(name)}: decision field`);
    }
  }

  #lay(names) {
    this.#views = names.map((name) => {
      const canvas = h("canvas", { tabindex: 0, role: "img" });
      this.#listen(canvas);
      return { name, canvas, context: canvas.getContext("2d"), painted: null };
    });
    const figures = this.#views.map(({ name, canvas }) =>
      h("figure", { class: `kd-plane kd-${name}` }, h("figcaption", {}), canvas),
    );
    this.row.replaceChildren(...figures);
    this.resize();
  }

  #title(name) {
    const learner = this.#plane.info.learner ?? "student";
    return { teacher: "Teacher", student: capital(learner), disagree: `${capital(learner)} minus teacher` }[name];
  }

  #explain() {
    const { classes, colours, teacher, theme, learner = "student" } = this.#plane.info;
    const chip = (colour, label) =>
      h("span", { class: "kd-chip" }, h("i", { style: `background:${colour}` }), label);
    const named = classes.length <= LEGEND ? classes.map((name, k) => chip(colours[k], name)) : [];
    const hatched = `repeating-linear-gradient(45deg, ${theme.disagree} 0 2px, transparent 2px 5px)`;
    const signs = [
      chip(theme.student, `${learner} more confident in the teacher's class`),
      chip(theme.teacher, "teacher more confident"),
      chip(hatched, "different class"),
    ];
    this.legend.replaceChildren(...named, ...(teacher ? signs : []));
  }

  // Painting -------------------------------------------------------------------------------------------------------

  #paint() {
    for (const view of this.#views) {
      view.painted =
        view.name === "disagree" ? paintDisagreement(this.#plane) : paintNetwork(this.#plane, view.name);
    }
  }

  /** Put the planes on screen with the next frame, once. */
  #render() {
    if (this.#queued) return;
    this.#queued = true;
    requestAnimationFrame(() => {
      this.#queued = false;
      for (const view of this.#views) this.#renderView(view);
      this.#read();
    });
  }

  #renderView({ name, canvas, context, painted }) {
    const { info } = this.#plane;
    const source = this.#source();
    context.imageSmoothingEnabled = true;
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.drawImage(painted.image, ...source, 0, 0, canvas.width, canvas.height);
    if (painted.mask) this.#hatch(context, painted.mask, source);
    if (name !== "disagree") this.#dots(context);
    this.#faces(context);
    this.#mark(context, info.pinned, 7);
    this.#mark(context, info.beside, 5);
    if (this.#cursor) this.#cross(context, this.#cursor);
  }

  /**
   * The shown rectangle in pixels of the painted planes, whose outermost pixels lie half beyond the extent.
   * @returns {Rect}
   */
  #source() {
    const { extent, size } = this.#plane.info;
    const [x0, x1, y0, y1] = this.#rect;
    const scale = (size - 1) / (extent[1] - extent[0]);
    return [(x0 - extent[0]) * scale + 0.5, (extent[3] - y1) * scale + 0.5, (x1 - x0) * scale, (y1 - y0) * scale];
  }

  /**
   * Stripes where the two networks name different classes.
   * @param {Rect} source
   */
  #hatch(context, mask, source) {
    const { width, height } = context.canvas;
    const layer = pen(new OffscreenCanvas(width, height));
    layer.strokeStyle = this.#plane.info.theme.disagree;
    layer.lineWidth = 1.6 * devicePixelRatio;
    for (let at = -height; at < width; at += 8 * devicePixelRatio) {
      layer.moveTo(at, height);
      layer.lineTo(at + height, 0);
    }
    layer.stroke();
    layer.globalCompositeOperation = "destination-in";
    layer.drawImage(mask, ...source, 0, 0, width, height);
    context.drawImage(layer.canvas, 0, 0);
  }

  #dots(context) {
    const { points, colours, theme } = this.#plane.info;
    const radius = 3.5 * devicePixelRatio;
    context.lineWidth = devicePixelRatio;
    context.strokeStyle = theme.zero;
    for (const [x, y, k] of points) {
      context.beginPath();
      context.arc(...this.#onCanvas(context.canvas, [x, y]), radius, 0, 2 * Math.PI);
      context.fillStyle = k < 0 ? "#8a8f9c" : colours[k];
      context.fill();
      context.stroke();
    }
  }

  /** Pictures beside their places; each is read once and put on screen when it is there. */
  #faces(context) {
    const side = Math.min(40 * devicePixelRatio, context.canvas.width / 7);
    context.imageSmoothingEnabled = false;
    for (const [x, y, url] of this.#plane.info.faces ?? []) {
      const face = this.#pictures.get(url) ?? this.#fetch(url);
      if (!face.complete || !face.naturalWidth) continue;
      const [left, top] = this.#onCanvas(context.canvas, [x, y]);
      context.drawImage(face, left + side / 5, top - side * 1.2, side, side);
      context.strokeRect(left + side / 5, top - side * 1.2, side, side);
    }
  }

  #fetch(url) {
    const face = new Image();
    face.onload = () => this.#render();
    face.src = url;
    if (this.#pictures.size > 60) this.#pictures.clear();
    this.#pictures.set(url, face);
    return face;
  }

  #mark(context, point, radius) {
    if (!point) return;
    const [x, y] = this.#onCanvas(context.canvas, point);
    const { zero, ink } = this.#plane.info.theme;
    /** @type {[string, number][]} */
    const rings = [[zero, 5], [ink, 2.5]]; // prettier-ignore
    for (const [colour, width] of rings) {
      context.beginPath();
      context.arc(x, y, radius * devicePixelRatio, 0, 2 * Math.PI);
      context.strokeStyle = colour;
      context.lineWidth = width * devicePixelRatio;
      context.stroke();
    }
  }

  #cross(context, cursor) {
    const [x, y] = this.#onCanvas(context.canvas, cursor);
    context.strokeStyle = this.#plane.info.theme.ink;
    context.globalAlpha = 0.6;
    context.lineWidth = devicePixelRatio;
    context.beginPath();
    context.moveTo(x, 0);
    context.lineTo(x, context.canvas.height);
    context.moveTo(0, y);
    context.lineTo(context.canvas.width, y);
    context.stroke();
    context.globalAlpha = 1;
  }

  /**
   * A point's pixels.
   * @returns {[number, number]}
   */
  #onCanvas(canvas, [x, y]) {
    const [x0, x1, y0, y1] = this.#rect;
    return [((x - x0) / (x1 - x0)) * canvas.width, ((y1 - y) / (y1 - y0)) * canvas.height];
  }

  // Reading --------------------------------------------------------------------------------------------------------

  #read() {
    const { info, at } = this.#plane;
    const { learner = "student" } = info;
    const agreement = info.agreement == null ? "" : `Same class on ${percent(info.agreement, 0)} of the plane. `;
    const hint = "Hover to read values, click to pin the nearest sample, drag to pan, Ctrl + wheel or +/− to zoom.";
    if (!this.#cursor) return write(this.readout, [agreement + hint, info.note].filter(Boolean).join(" "));
    const [x, y] = this.#cursor;
    const cell = at(x, y);
    const name = (k) => info.classes[k] ?? k;
    const teacher = cell.teacher && `teacher ${name(cell.teacher.k)} ${percent(cell.teacher.share, 0)}`;
    const other = cell.teacher && cell.teacher.k !== cell.student.k ? cell.teacher : null;
    const apart = other && `${learner}'s share of ${name(other.k)} ${percent(cell.followed, 0)}`;
    const student = `${learner} ${name(cell.student.k)} ${percent(cell.student.share, 0)}`;
    write(this.readout, [`x ${x.toFixed(2)}, y ${y.toFixed(2)}`, teacher, student, apart].filter(Boolean).join("  ·  "));
  }

  // What people do -------------------------------------------------------------------------------------------------

  #listen(canvas) {
    /** @returns {[number, number]} */
    const where = (event) => {
      const box = canvas.getBoundingClientRect();
      const [x0, x1, y0, y1] = this.#rect;
      const across = (event.clientX - box.left) / box.width;
      return [x0 + across * (x1 - x0), y1 - ((event.clientY - box.top) / box.height) * (y1 - y0)];
    };
    const point = (cursor) => {
      this.#cursor = cursor;
      this.#render();
    };
    canvas.addEventListener("pointermove", (event) => {
      if (this.#grip) this.#drag(canvas, event, this.#grip);
      point(where(event));
    });
    canvas.addEventListener("pointerleave", () => !this.#grip && point(null));
    canvas.addEventListener("pointerdown", (event) => {
      this.#grip = { x: event.clientX, y: event.clientY, rect: [...this.#rect], moved: false };
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointerup", (event) => {
      if (this.#grip && !this.#grip.moved) this.#pin(where(event), event.shiftKey && !!this.#plane.info.rows);
      this.#grip = null;
    });
    canvas.addEventListener("pointercancel", () => (this.#grip = null));
    canvas.addEventListener("dblclick", () => this.#zoom(Infinity, this.#cursor));
    const wheel = (event) => {
      if (!event.ctrlKey && !event.metaKey && !document.fullscreenElement) return; // the page scrolls
      event.preventDefault();
      this.#zoom(Math.exp(event.deltaY / 300), where(event));
    };
    canvas.addEventListener("wheel", wheel, { passive: false });
    canvas.addEventListener("blur", () => point(null));
    canvas.addEventListener("keydown", (event) => this.#onKey(event, point));
  }

  #onKey(event, point) {
    const [x0, x1, y0, y1] = this.#rect;
    const [x, y] = this.#cursor ?? [(x0 + x1) / 2, (y0 + y1) / 2];
    const hop = (x1 - x0) / 50;
    const moves = { ArrowLeft: [-hop, 0], ArrowRight: [hop, 0], ArrowDown: [0, -hop], ArrowUp: [0, hop] };
    const zooms = { "+": 0.8, "=": 0.8, "-": 1.25, 0: Infinity };
    if (event.key in moves) point([x + moves[event.key][0], y + moves[event.key][1]]);
    else if (event.key in zooms && !event.ctrlKey && !event.metaKey) this.#zoom(zooms[event.key], [x, y]);
    else if (event.key === "Enter") this.#pin([x, y], event.shiftKey && !!this.#plane.info.rows);
    else return;
    event.preventDefault();
  }

  #drag(canvas, event, grip) {
    const [dx, dy] = [event.clientX - grip.x, event.clientY - grip.y];
    if (Math.hypot(dx, dy) > CLICK_PX) grip.moved = true;
    const [x0, x1, y0, y1] = grip.rect;
    const scale = (x1 - x0) / canvas.clientWidth;
    this.#frame([x0 - dx * scale, x1 - dx * scale, y0 + dy * scale, y1 + dy * scale]);
  }

  /** Show more (over 1) or less of the plane around a point. */
  #zoom(factor, around) {
    const { extent } = this.#plane.info;
    const [x0, x1, y0, y1] = this.#rect;
    const whole = extent[1] - extent[0];
    const width = Math.min(whole, Math.max(whole / CLOSEST, (x1 - x0) * factor));
    const scale = width / (x1 - x0);
    const [x, y] = around ?? [(x0 + x1) / 2, (y0 + y1) / 2];
    this.#frame([x - (x - x0) * scale, x + (x1 - x) * scale, y - (y - y0) * scale, y + (y1 - y) * scale]);
    this.#render();
  }

  /** Show a rectangle, moved so that it stays on the plane. */
  #frame([x0, x1, y0, y1]) {
    const [left, right, bottom, top] = this.#plane.info.extent;
    const dx = Math.max(0, left - x0) - Math.max(0, x1 - right);
    const dy = Math.max(0, bottom - y0) - Math.max(0, y1 - top);
    this.#rect = [x0 + dx, x1 + dx, y0 + dy, y1 + dy];
  }

  #pin([x, y], beside = false) {
    let [best, nearest] = [Infinity, -1];
    this.#plane.info.probe_points.forEach(([px, py], sample) => {
      const distance = (px - x) ** 2 + (py - y) ** 2;
      if (distance < best) [best, nearest] = [distance, sample];
    });
    if (nearest < 0) return;
    const sample = this.#plane.info.rows?.[nearest] ?? nearest;
    wire.look(beside ? { beside: sample } : { sample });
  }
}
