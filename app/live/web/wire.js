// One socket per page, shared by every component on it, and one view that holds in all of them.

import { address } from "./base.js";
import { decode } from "./decode.js";

const ADDRESS = address("api/live").replace(/^http/, "ws");
const REFUSED = 4401; // close code: another try would fail as well
const OUTLIVED = 4402; // close code: another server made this page, so nobody hears its buttons
const PATIENCE_MS = [250, 4000]; // first and longest wait before a new try
const REPORT_MS = 300; // after the last change, the page is told
const REMIND_MS = 2500; // and told again where it did not take the change over
const LEAVE_MS = 5000; // after a click that leads to another page, unless the page is still there by then
const LINGER_MS = 300; // a page that is rebuilt keeps its socket

/** @typedef {{theme: string, temperature: number | null, sample: number, at: number | null, select: string, beside: number | null, knobs: string}} View */

/** Events: "view" (it changed), "learner" (a run trains another network), "link" (the connection changed), "error" (detail: {error, run}). */
class Wire extends EventTarget {
  /** @type {View} */
  view = { theme: "light", temperature: null, sample: 0, at: null, select: "", beside: null, knobs: "" };
  #meant = this.view; // what somebody chose to look at: the view, but for what only passes by
  learners = new Map(); // run -> what the network is called that it trains just now
  link = "connecting"; // connecting, open, lost, refused
  trouble = ""; // why it was refused
  #token = "";
  #server = "";
  #dressed = ""; // the theme in which Python was last asked to draw
  /** @type {WebSocket | null} */
  #socket = null;
  #wait = PATIENCE_MS[0];
  #retry = 0;
  #users = new Map(); // component -> how it tells Python
  #subscriptions = new Map(); // key -> {run, panel, hear}
  #due = new Set(); // keys to be sent with the next frame
  #nextKey = 1;
  #said = new Map(); // run -> what Python said last
  #told = new Set(); // what Python was told and has not answered yet
  #report = 0;
  #path = ""; // of the page that the components are on
  #left = -LEAVE_MS; // when somebody set out for another page

  constructor() {
    super();
    document.addEventListener("visibilitychange", () => this.#curtain());
    document.addEventListener("click", ({ target }) => this.#leave(/** @type {Element} */ (target).closest?.("a[href]")), true);
    addEventListener("popstate", () => this.#leave(location), true);
  }

  // Components -----------------------------------------------------------------------------------------------------

  /** A component is on the page, drawn in a theme by a server; `tell` reports a view to Python. */
  join(component, { token, server, theme }, tell) {
    this.#users.set(component, tell);
    this.#path = location.pathname;
    [this.#token, this.#server] = [token, server];
    this.#redraw(theme);
    if (!this.#socket && !this.#retry) this.#connect();
    else if (this.link === "refused") this.#connect();
  }

  /** A component left; the socket closes with the last one. */
  part(component) {
    this.#users.delete(component);
    setTimeout(() => {
      if (this.#users.size) return;
      clearTimeout(this.#retry);
      this.#retry = 0;
      this.#socket?.close();
      this.#socket = null;
    }, LINGER_MS);
  }

  // The view -------------------------------------------------------------------------------------------------------

  /** Change how everything on the page is looked at; Python hears of it after the last change, unless it is `passing`. */
  look(change, passing = false) {
    this.#change(change, passing);
    if (passing) return;
    clearTimeout(this.#report);
    this.#report = setTimeout(() => this.#tell(5), REPORT_MS);
  }

  /** End what only passes by: look at what was chosen last. */
  settle() {
    this.#change(this.#meant);
  }

  /** Take over the theme of the page. */
  dress(theme) {
    this.#change({ theme });
  }

  /** Have Python draw anew what it drew in another theme; once, should it not know better. */
  #redraw(drawn) {
    if (this.view.theme === drawn) return;
    setTimeout(() => {
      const { theme } = this.view;
      if (theme === this.#dressed || !this.#users.size) return; // a component that is mounted anew asks again
      this.#dressed = theme;
      this.#say();
    }, REPORT_MS);
  }

  /** Hear what Python holds the view to be; what it only echoes changes nothing. */
  adopt(run, view) {
    const word = JSON.stringify(view);
    if (this.#said.get(run) === word) return;
    this.#said.set(run, word);
    if (this.#told.has(word)) {
      if (word === this.#word()) this.#told.clear();
    } else this.#change(view);
  }

  #word() {
    const { temperature, sample, at, select, beside, knobs } = this.#meant; // in the order in which Python says them
    return JSON.stringify({ temperature, sample, at, select, beside, knobs });
  }

  #change(change, passing = false) {
    if (!passing) this.#meant = { ...this.#meant, ...change };
    const changed = Object.entries(change).some(([name, value]) => this.view[name] !== value);
    if (!changed) return;
    this.view = { ...this.view, ...change };
    for (const key of this.#subscriptions.keys()) this.#ask(key);
    this.dispatchEvent(new Event("view"));
  }

  #say() {
    const [component, tell] = [...this.#users][0] ?? [];
    tell?.({ run: component.run, ...JSON.parse(this.#word()) });
  }

  /** Python, asked for this page and for another one at once, would take whatever came last for the person's wish. */
  #leave(place) {
    if (place?.origin === location.origin && place.pathname !== this.#path) this.#left = performance.now();
  }

  #tell(tries) {
    if (performance.now() - this.#left < LEAVE_MS) {
      this.#report = setTimeout(() => this.#tell(tries), REPORT_MS);
      return;
    }
    const [component] = this.#users.keys();
    const word = this.#word();
    const known = this.#said.get(component?.run) === word && !this.#told.size;
    if (!component || !tries || known) return;
    this.#told.add(word);
    this.#say();
    this.#report = setTimeout(() => this.#tell(tries - 1), REMIND_MS);
  }

  // Subscriptions --------------------------------------------------------------------------------------------------

  /** Look at a panel; `hear` gets each message, parsed, or the bytes of a field. Returns how to end it. */
  watch(run, panel, hear) {
    const key = this.#nextKey++;
    this.#subscriptions.set(key, { run, panel, hear });
    if (!document.hidden) this.#request(key); // at once: the next frame may be far off while Streamlit draws its page
    return () => {
      this.#subscriptions.delete(key);
      this.#due.delete(key);
      this.#send({ op: "leave", key });
    };
  }

  /**
   * Ask something of a run.
   * @param {unknown} value
   */
  control(run, command, value = null) {
    if (!this.#send({ op: "control", run, command, value })) {
      this.#complain({ error: "There is no connection to the server just now; try again in a moment.", run });
    }
  }

  /** Say what the network is called that a run trains just now: captions speak of it. */
  call(run, learner) {
    if (this.learners.get(run) === learner) return;
    this.learners.set(run, learner);
    this.dispatchEvent(new Event("learner"));
  }

  #ask(key) {
    if (!this.#due.size) requestAnimationFrame(() => this.#askAll());
    this.#due.add(key);
  }

  #askAll() {
    for (const key of this.#due) if (!document.hidden) this.#request(key);
    this.#due.clear();
  }

  #request(key) {
    const subscription = this.#subscriptions.get(key);
    if (subscription) this.#send({ op: "watch", key, run: subscription.run, panel: subscription.panel, view: this.view });
  }

  #curtain() {
    for (const key of this.#subscriptions.keys()) {
      if (document.hidden) this.#send({ op: "leave", key });
      else this.#ask(key);
    }
  }

  // The socket -----------------------------------------------------------------------------------------------------

  #connect() {
    this.#retry = 0;
    const socket = new WebSocket(ADDRESS);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      this.#wait = PATIENCE_MS[0];
      socket.send(JSON.stringify({ op: "hello", token: this.#token, server: this.#server }));
      this.#now("open");
      for (const key of this.#subscriptions.keys()) this.#ask(key);
    };
    socket.onmessage = ({ data }) => this.#hear(data);
    socket.onclose = ({ code }) => this.#closed(socket, code);
    this.#socket = socket;
  }

  #closed(socket, code) {
    if (socket !== this.#socket) return;
    this.#socket = null;
    if (code === REFUSED) return this.#now("refused");
    if (code === OUTLIVED) return location.reload();
    this.#now("lost");
    this.#retry = setTimeout(() => this.#connect(), this.#wait * (0.75 + Math.random() / 2));
    this.#wait = Math.min(2 * this.#wait, PATIENCE_MS[1]);
  }

  #now(link) {
    if (this.link === link) return;
    this.link = link;
    this.dispatchEvent(new Event("link"));
  }

  #send(message) {
    const socket = this.#socket;
    if (socket?.readyState !== WebSocket.OPEN) return false;
    socket.send(JSON.stringify(message));
    return true;
  }

  #hear(data) {
    const message = decode(data);
    const subscription = this.#subscriptions.get(message.key);
    if (!message.error) subscription?.hear(message);
    else if (subscription) subscription.hear({ lacks: message.error });
    else this.#complain(message);
  }

  #complain(message) {
    this.trouble = message.error;
    this.dispatchEvent(new CustomEvent("error", { detail: message }));
  }
}

export const wire = new Wire();
