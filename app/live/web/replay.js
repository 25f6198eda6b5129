// Looking back: a scrubber over the recorded frames, and a clock that plays them.

import { allow, h, icon } from "./dom.js";
import { wire } from "./wire.js";

const FRAME_MS = 250; // at speed 1
const SPEEDS = [0.25, 0.5, 1, 2, 4];

export class Replay {
  playing = false;
  #stops = []; // steps of the frames, and null for the newest
  #clock = 0;
  #auto = false;

  constructor() {
    this.scrubber = h("input", { type: "range", min: 0, step: 1, "aria-label": "Recorded frames" });
    this.scrubber.addEventListener("input", () => this.#go(Number(this.scrubber.value), true));
    this.root = h("div", { class: "kd-scrubber", hidden: "" }, this.scrubber);
    this.speed = h("select", { "aria-label": "Replay speed", title: "Playback speed of the recorded frames" });
    this.speed.append(...SPEEDS.map((value) => h("option", { value }, `${value}×`)));
    this.speed.value = 1;
    this.newest = h("button", { type: "button", class: "kd-button", "aria-label": "Latest frame" }, icon("newest"));
    this.newest.addEventListener("click", () => this.#go(this.#stops.length - 1, true));
    wire.addEventListener("view", this.#show);
  }

  /** Another run is on show. */
  begin(autoplay) {
    this.#leave();
    this.#stops = [];
    this.#auto = autoplay && !matchMedia("(prefers-reduced-motion: reduce)").matches;
  }

  end() {
    this.#leave();
    wire.removeEventListener("view", this.#show);
  }

  /** The run's status: which frames there are. */
  hear(status) {
    const over = status.state !== "running" && status.state !== "queued";
    this.#stops = over ? [...status.frames.slice(0, -1), null] : [...status.frames, null];
    this.root.hidden = this.#stops.length < 2;
    this.speed.hidden = this.root.hidden || !(over || status.at != null);
    this.newest.hidden = this.root.hidden;
    this.scrubber.max = this.#stops.length - 1;
    this.#show();
    if (this.#auto && over && !this.root.hidden && wire.view.at == null) this.toggle();
    this.#auto = false;
  }

  /** Why it cannot be played, or nothing. */
  get hindrance() {
    return this.#stops.length < 2 ? "No frames were recorded, so there is nothing to play." : "";
  }

  /** Play on from here, or from the start where this is the end; or pause. */
  toggle() {
    if (this.playing) return this.#pause();
    this.playing = true;
    if (this.#place === this.#stops.length - 1) this.#go(0);
    this.#next();
  }

  get #place() {
    const place = this.#stops.indexOf(wire.view.at);
    return place < 0 ? this.#stops.length - 1 : place;
  }

  #next() {
    this.#clock = setTimeout(() => {
      const place = this.#place + 1;
      this.#go(place);
      if (place >= this.#stops.length - 1) this.#pause();
      else this.#next();
    }, FRAME_MS / this.speed.value);
  }

  /** Stop here: where it stands now is what somebody looks at. */
  #pause() {
    if (this.playing) wire.look({ at: wire.view.at });
    this.#leave();
  }

  /** Stop, at what was chosen last: nobody chose where it stands. */
  #leave() {
    clearTimeout(this.#clock);
    if (this.playing) wire.settle();
    this.playing = false;
  }

  #go(place, byHand = false) {
    if (byHand) this.#pause();
    wire.look({ at: this.#stops[Math.min(place, this.#stops.length - 1)] ?? null }, this.playing);
  }

  #show = () => {
    const place = this.#place;
    const last = place === this.#stops.length - 1;
    this.scrubber.value = place;
    allow(this.newest, last ? "This is the latest frame." : "", "Latest frame");
    this.scrubber.setAttribute("aria-valuetext", wire.view.at == null ? "the newest" : `step ${wire.view.at}`);
  };
}
