// The transport bar: what a run does now, and the controls of a run that trains or of one that is replayed.

import { allow, capital, duration, h, icon, percent, pointsApart, roleOf, short, write } from "./dom.js";
import { linkNote } from "./link.js";
import { Replay } from "./replay.js";
import { wire } from "./wire.js";

const STATES = {
  queued: "Waiting",
  running: "Training",
  done: "Done",
  failed: "Failed",
  cancelled: "Stopped",
  lost: "Interrupted",
};
const SPEEDS = [["", "full speed"], [100, "100 steps/s"], [10, "10 steps/s"], [1, "1 step/s"]]; // prettier-ignore
const STRANGER = "Read-only: only the browser that started this run can control it.";
const EDITABLE = "input, textarea, select, [contenteditable], [role=slider], [role=textbox]";
const ERROR_MS = 8000;
const USUAL = ["Student", "Teacher", "Gap", "Agreement", "Loss"]; // readouts of most runs, which keep their room until there is word

export class Transport {
  /** @type {any} */
  #status = null;
  /** @type {(() => void) | null} */
  #leave = null;
  #data = {};
  #link = linkNote();
  #replay = new Replay();
  #overtaken = false; // whether another run's title stands there already, before Python's word of it
  #titles = new MutationObserver(() => this.#retitle());

  constructor() {
    this.#build();
    document.addEventListener("keydown", this.#onKey);
    wire.addEventListener("error", this.#onError);
  }

  /** New data from Python. */
  update(data) {
    const moved = data.run !== this.#data.run;
    const settings = JSON.stringify(data.settings) !== JSON.stringify(this.#data.settings);
    this.#data = data;
    this.#attend();
    if (settings) this.#buildSettings();
    if (!moved) return;
    this.#overtaken = false;
    this.#leave?.();
    this.#clear();
    this.#conceal(data.autoplay);
    this.#replay.begin(data.autoplay);
    this.#watch();
  }

  #watch() {
    this.#leave = wire.watch(this.#data.run, "status", (message) => this.#hear(message));
  }

  /** Keep an eye on the title above: see `app/components/run_view.py`. */
  #attend() {
    this.#titles.disconnect();
    const head = document.querySelector(".st-key-head");
    if (head) this.#titles.observe(head, { subtree: true, childList: true, attributeFilter: ["class"] });
  }

  /** A title comes before its run's data; from then on the run before is not read out. */
  #retitle() {
    const [, run] = document.querySelector("[class*=st-key-title-]")?.className.match(/st-key-title-(\w+)/) ?? [];
    const overtaken = Boolean(run) && run !== this.#data.run;
    if (overtaken === this.#overtaken) return;
    this.#overtaken = overtaken;
    if (!overtaken) return this.#watch();
    this.#leave?.();
    this.#clear();
  }

  /** Show nothing of the run before, in the same room, until there is word of this one. */
  #clear() {
    this.#status = null;
    this.note.hidden = this.complaint.hidden = true;
    write(this.pill, "…");
    write(this.progress, "");
    for (const { children } of this.readouts.children) {
      write(children[1], "–");
      write(children[2], "");
    }
  }

  destroy() {
    document.removeEventListener("keydown", this.#onKey);
    wire.removeEventListener("error", this.#onError);
    this.#titles.disconnect();
    this.#leave?.();
    this.#replay.end();
    this.#conceal(false);
    this.#link.end();
  }

  // What it looks like ---------------------------------------------------------------------------------------------

  #build() {
    this.pill = h("span", { class: "kd-pill", role: "status" }, "…");
    this.progress = h("span", { class: "kd-steps" });
    this.readouts = h("dl", { class: "kd-readouts" });
    this.note = h("p", { class: "kd-note", hidden: "" });
    this.complaint = h("p", { class: "kd-complaint", role: "alert", hidden: "" });
    this.settings = h("div", { class: "kd-settings", role: "group", "aria-label": "Settings" });
    this.whose = h("span", { hidden: "" }); // while another network trains, the settings are not those of what is on show
    this.bar = h("div", { class: "kd-bar" }, h("div"));
    this.#list(USUAL.map((name) => [name, "–", "", "", ""]));
    this.controls = h("div", { class: "kd-line", hidden: "" }, this.#buildControls(), this.whose, this.settings);
    this.root = h(
      "section",
      { class: "kd kd-transport", "aria-label": "Transport" },
      h("div", { class: "kd-line" }, this.pill, this.progress, this.readouts),
      h("div", { class: "kd-track" }, this.bar, this.#replay.root),
      this.controls,
      this.note,
      this.complaint,
      this.#link.note,
    );
  }

  #buildControls() {
    const button = (sign, act) => h("button", { type: "button", class: "kd-button", onclick: act }, icon(sign));
    this.play = button("play", () => this.#act(this.play, () => this.#playOrPause()));
    this.play.classList.add("kd-primary");
    this.play.setAttribute("aria-keyshortcuts", "Space");
    this.one = button("step", () => this.#act(this.one, () => this.#step(1)));
    this.one.setAttribute("aria-keyshortcuts", "ArrowRight");
    this.count = h("input", { type: "number", min: 1, max: 100000, value: 10, "aria-label": "Number of steps" });
    this.many = h("button", { type: "button", class: "kd-button" }, "steps");
    this.many.addEventListener("click", () => this.#act(this.many, () => this.#step(Number(this.count.value))));
    this.steps = h("span", { class: "kd-pair" }, this.count, this.many);
    this.stop = button("stop", () => this.#act(this.stop, () => wire.control(this.#data.run, "cancel")));
    this.speed = h("select", { "aria-label": "Training speed" });
    this.speed.append(...SPEEDS.map(([value, label]) => h("option", { value }, label)));
    this.speed.addEventListener("change", () => wire.control(this.#data.run, "speed", Number(this.speed.value) || null));
    const parts = [this.play, this.one, this.steps, this.stop, this.speed, this.#replay.speed, this.#replay.newest];
    return h("div", { class: "kd-controls", role: "group", "aria-label": "Controls" }, ...parts);
  }

  #buildSettings() {
    const fields = this.#data.settings.map(({ path, label, value, min, max }) => {
      const input = h("input", { type: "number", step: "any", min, max, value, "aria-label": label });
      const set = () => {
        if (!input.reportValidity()) return;
        wire.control(this.#data.run, "set", { [path]: Number(input.value) });
        input.dataset.held = input.value;
        this.#permit();
      };
      input.dataset.held = value;
      input.addEventListener("input", () => this.#permit());
      input.addEventListener("keydown", (event) => event.key === "Enter" && this.#act(button, set));
      const button = h("button", { type: "button", class: "kd-button", "aria-label": `Set ${label}` }, "Set");
      button.addEventListener("click", () => this.#act(button, set));
      return h("span", { class: "kd-pair" }, h("span", { "aria-hidden": "true" }, label), input, button);
    });
    this.settings.replaceChildren(...fields);
    this.#permit();
  }

  // What it shows --------------------------------------------------------------------------------------------------

  #hear({ status, lacks }) {
    if (lacks) return this.#complain(lacks);
    this.#status = status;
    const s = status;
    wire.call(this.#data.run, s.learner);
    const trains = this.#trains;
    const behind = s.at != null && trains;
    this.root.dataset.state = s.paused && s.state === "running" ? "paused" : s.state;
    write(this.pill, s.stopping ? "Stopping" : s.state === "running" && s.paused ? "Paused" : s.recorded ? "Recorded" : STATES[s.state]);
    const rate = s.steps_per_s ? ` · ${short(s.steps_per_s)} steps/s · ${duration(s.eta_s)} left` : "";
    const took = s.elapsed_s == null ? "" : ` · ${duration(s.elapsed_s)}${s.attempt > 1 ? " since it resumed" : ""}`;
    const whose = s.teaching ? `${capital(s.learner)}: ` : "";
    write(this.progress, `${whose}step ${s.step} of ${s.steps}${behind ? " (viewing an earlier step)" : trains ? rate : took}`);
    this.controls.hidden = false;
    this.#replay.root.style.width = `${trains ? Math.min(100, (100 * s.newest_step) / s.steps) : 100}%`;
    this.bar.firstChild.style.width = `${Math.min(100, (100 * s.step) / s.steps)}%`;
    this.#read(s);
    this.#replay.hear(s);
    this.#conceal(!trains && wire.view.at != null);
    this.#permit();
    const note = this.#say(s);
    this.note.hidden = !note;
    write(this.note, note);
    const later = "For the student, from its first step:";
    write(this.whose, s.teaching ? later : "");
    this.whose.hidden = !s.teaching || !s.mine;
    this.settings.setAttribute("aria-label", s.teaching ? later : "Settings");
  }

  /** During a replay the page keeps its result to itself: see component.css. */
  #conceal(wanted) {
    document.documentElement.toggleAttribute("data-kd-replay", wanted);
  }

  #say(s) {
    if (s.teaching) return `Training the ${s.learner} first; these panels show its run.`;
    if (s.state === "queued") return this.#waits(s);
    if (s.state === "done") return s.at == null ? "" : `Replay: this is the run at step ${s.at}; its result follows at the end.`;
    const lost = s.mine && s.resumes != null && s.resumes < s.newest_step;
    const from = s.resumes ? `step ${s.resumes}, its last checkpoint` : "the start, as it has no checkpoint yet";
    return [s.message, lost && `Resuming would continue from ${from}.`].filter(Boolean).join(" ");
  }

  #waits(s) {
    const turn = s.place > 1 ? `${s.place - 1} ahead of it in the queue.` : "It starts next.";
    if (!s.held) return turn;
    const who = s.held > 1 ? `${s.held} paused runs hold their workers until they go` : "A paused run holds its worker until it goes";
    return `${turn} ${who} on or ${s.held > 1 ? "are" : "is"} stopped.`;
  }

  #read(s) {
    const { learner } = s;
    const both = s.begins == null && s.teacher_accuracy != null && s.student_accuracy != null;
    const gap = both ? `${pointsApart(s.teacher_accuracy, s.student_accuracy)} pts` : "–";
    const split = s.split === "test" ? "test" : "validation";
    const where = s.scored_step == null ? "" : `${split}, step ${s.scored_step}`;
    const own = s.begins == null ? percent(s.student_accuracy) : `from step ${s.begins}`;
    const waits = `The ${learner} starts at step ${s.begins}; until then only the generator trains.`;
    const compared = [
      ["Teacher", percent(s.teacher_accuracy), "teacher", s.teacher_accuracy == null ? "" : where, `Teacher accuracy on the ${split} samples.`],
      ["Gap", gap, "", both ? where : "", `Teacher minus ${learner}, in percentage points.`],
      ["Agreement", both ? percent(s.agreement) : "–", "", both ? where : "", `Share of ${split} samples for which both predict the same class.`],
    ];
    this.#list([
      [capital(learner), own, roleOf(learner), s.begins == null ? where : "not training yet", s.begins == null ? `Accuracy of the ${learner} on the ${split} samples.` : waits],
      ...(s.taught ? compared : []),
      ["Loss", short(s.loss), "", s.loss_step == null ? "" : `training, step ${s.loss_step}`, "What training minimises, averaged over the last steps."],
    ]);
    this.root.dataset.role = roleOf(learner);
  }

  /** The readouts: [name, value, whose colour, split and step, explanation]. */
  #list(rows) {
    const items = this.readouts.children;
    while (items.length > rows.length) this.readouts.lastChild.remove();
    while (items.length < rows.length) this.readouts.append(h("div", {}, h("dt"), h("dd"), h("dd", { class: "kd-where" })));
    rows.forEach(([name, value, role, where, title], place) => {
      const item = items[place];
      item.className = role && `kd-${role}`;
      item.title = title;
      [name, value, where].forEach((text, part) => write(item.children[part], text));
    });
  }

  #permit() {
    const s = this.#status;
    if (!s) return;
    const trains = this.#trains;
    const running = s.state === "running";
    const waits = running ? "" : "The run has not started yet.";
    const reason = !s.mine ? STRANGER : waits;
    const replays = this.#replays;
    for (const part of [this.one, this.steps, this.stop, this.speed, this.settings]) part.hidden = !trains;
    const plays = replays ? this.#replay.playing : running && !s.paused;
    this.play.replaceChildren(icon(plays ? "pause" : "play"));
    const name = replays ? (plays ? "Pause the replay" : "Play the recorded frames") : plays ? "Pause" : "Resume";
    this.play.setAttribute("aria-label", name);
    allow(this.play, replays ? this.#replay.hindrance : reason, `${name} (space)`);
    allow(this.one, reason, "One step (right arrow)");
    this.one.setAttribute("aria-label", "One step");
    allow(this.many, reason, "Run this many steps, then pause");
    allow(this.stop, !s.mine ? STRANGER : s.stopping ? "The run is stopping." : "", "Stop this run");
    this.stop.setAttribute("aria-label", "Stop this run");
    this.speed.disabled = Boolean(reason);
    this.speed.title = reason || "How fast it trains";
    this.speed.value = s.speed ?? "";
    for (const { children } of this.settings.children) {
      const [, input, button] = children;
      const held = Number(input.value) === Number(input.dataset.held) ? "It has this value; type another." : "";
      input.disabled = Boolean(reason);
      input.title = reason;
      allow(button, reason || held, "Change it from the next step on");
    }
  }

  get #trains() {
    return ["running", "queued"].includes(this.#status.state);
  }

  /** Whether play means the recorded frames: the run is over, or somebody looks back. */
  get #replays() {
    const s = this.#status;
    return s != null && (s.at != null || this.#replay.playing || !this.#trains);
  }

  // What people do -------------------------------------------------------------------------------------------------

  #act(button, act) {
    if (!this.#status) return;
    if (button.getAttribute("aria-disabled") === "true") this.#complain(button.title);
    else act();
  }

  #playOrPause() {
    if (!this.#replays) return wire.control(this.#data.run, this.#status.paused ? "resume" : "pause");
    this.#replay.toggle();
    this.#permit();
  }

  #step(steps) {
    if (wire.view.at != null) wire.look({ at: null });
    wire.control(this.#data.run, "step", Math.max(1, Math.round(steps) || 1));
  }

  #onKey = (event) => {
    const used = event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey;
    if (used || !this.#status || event.target.closest?.(EDITABLE)) return;
    if (event.key === " " && !event.target.closest?.("button, a, summary, [role=button], [role=tab]")) {
      event.preventDefault();
      this.#act(this.play, () => this.#playOrPause());
    } else if (event.key === "ArrowRight" && !this.one.hidden && !event.target.closest?.("[role=tab], [role=radio]")) {
      event.preventDefault();
      this.#act(this.one, () => this.#step(1));
    }
  };

  #onError = (event) => {
    const { detail } = event;
    if (!detail.run || detail.run === this.#data.run) this.#complain(detail.error);
  };

  #complain(sentence) {
    write(this.complaint, sentence);
    this.complaint.hidden = false;
    clearTimeout(this.complaining);
    this.complaining = setTimeout(() => (this.complaint.hidden = true), ERROR_MS);
  }
}
