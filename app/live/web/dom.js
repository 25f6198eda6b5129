// Small helpers for elements.

/** An element: `h("button", {class: "x", onclick: f}, "text", child)`; properties that are null are left out. */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value == null) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

const PATHS = {
  play: "M7 4v16l13-8z",
  pause: "M6 4h4v16H6zM14 4h4v16h-4z",
  step: "M5 4v16l10-8zM16 4h3v16h-3z",
  stop: "M5 5h14v14H5z",
  full: "M4 4h6v2H6v4H4zM14 4h6v6h-2V6h-4zM4 14h2v4h4v2H4zM18 14h2v6h-6v-2h4z",
  picture: "M3 4h18v16H3zm2 2v9l4-4 4 4 3-3 3 3V6zm10 1.500a1.500 1.500 0 1 1 0 3 1.500 1.500 0 0 1 0-3z",
  data: "M3 4h18v16H3zm2 5v3h6V9zm8 0v3h6V9zm-8 5v4h6v-4zm8 0v4h6v-4z",
  newest: "M4 4v16l8-8zM12 4v16l8-8z",
};

/** A drawn sign, without meaning of its own for those who do not see it. */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", PATHS[name]);
  path.setAttribute("fill-rule", "evenodd");
  svg.append(path);
  return svg;
}

/** Write a text only where it is another one, so that nothing flickers and readers are not woken. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Let a button be used, or say why not; it stays reachable so that the reason can be read. */
export function allow(button, reason, title) {
  button.toggleAttribute("data-off", Boolean(reason));
  button.setAttribute("aria-disabled", String(Boolean(reason)));
  if (button.tagName === "A") button.setAttribute("role", "link"); // one without an address is no link of itself
  button.title = reason || title;
}

/** A text about the student as one about the network that learns; `app/panels/_recast.py` does so with figures. */
export const renamed = (text, learner) =>
  text.replace(/(?<![A-Za-z])([Ss])tudent(?![A-Za-z])/g, (_, first) => (first === "S" ? capital(learner) : learner));

/** Of a sentence what holds of a network without a teacher. */
const alone = (sentence) => {
  const [before, after] = sentence.split(/teacher/i);
  const kept = before.match(/^(.*)[;:]/)?.[1];
  return after === undefined ? sentence : kept ? `${kept}.` : "";
};

/** A caption while another network than the student learns; one that compares with the teacher holds later. */
export const spoken = (caption, learner) => {
  if (learner === "student") return caption;
  if (learner === "network") return renamed(caption.split(/(?<=\.) /).map(alone).join(" ").trim(), learner);
  return /teacher/i.test(caption) ? `The ${learner} trains first. Then: ${caption}` : renamed(caption, learner);
};

/** By how many percentage points one share is above another, of the numbers that `percent` shows; with a minus sign. */
export const pointsApart = (one, other) =>
  (Number.parseFloat(percent(one)) - Number.parseFloat(percent(other))).toFixed(1).replace("-", "\u2212");
export const percent = (share, digits = 1) => (share == null ? "–" : `${(100 * share).toFixed(digits)} %`);

/** A number for reading: three significant digits. */
export const short = (value) =>
  value == null ? "–" : Math.abs(value) >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(3)));

/** Seconds for reading: 42 s, 3:05 min, 2:10 h. */
export function duration(seconds) {
  if (seconds == null) return "–";
  const whole = Math.round(seconds);
  const two = (number) => String(number).padStart(2, "0");
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}:${two(whole % 60)} min`;
  return `${Math.floor(whole / 3600)}:${two(Math.floor((whole % 3600) / 60))} h`;
}

/**
 * What an error says.
 * @param {unknown} error
 */
export const messageOf = (error) => (error instanceof Error ? error.message : String(error));

/** Give a file to the person. */
export function save(url, name) {
  const link = h("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
}

/** Whose colour a network has, by what it is: "student", "teacher", or "mentor" for one between them. */
export const roleOf = (name) => (["student", "network"].includes(name) ? "student" : name.includes("teacher") ? "teacher" : "mentor");

export const capital = (text) => text[0].toUpperCase() + text.slice(1);

export const nextFrame = () => new Promise((done) => requestAnimationFrame(done));
