// Selections of rows, as text: `part=teacher_only;true=3`, the grammar of `kdcore/comparison/selection.py`. A click takes
// its terms in, or out where all were there. tests/web/selection.json holds what both readers must answer.

/** @typedef {[key: string, value: string]} Term */
/** @typedef {{sample: number} | {select: string}} Choice What a click means: a row to pin, or a selection. */
/** @typedef {{pick?: string}} Meta */
/** @typedef {Record<string, unknown> & {data?: {meta?: Meta}, trace?: {meta?: Meta}}} Point A point of a Plotly figure. */

const LONGEST = 1000; // characters of a selection

/**
 * The terms of a selection; null where it reads otherwise.
 * @param {string} text
 * @returns {Term[] | null}
 */
export function parse(text) {
  if ([...text].length > LONGEST) return null;
  const found = text.split(";").filter(Boolean).map(cut);
  return found.every(([key, value]) => key && value) ? found : null;
}

/**
 * A term at its first "=".
 * @param {string} term
 * @returns {Term}
 */
function cut(term) {
  const at = term.indexOf("=");
  return at < 0 ? [term, ""] : [term.slice(0, at), term.slice(at + 1)];
}

/** @param {Term[]} terms */
const written = (terms) => terms.map((term) => term.join("=")).join(";");

/**
 * A selection after a click on something; one that cannot be read is begun anew.
 * @param {string} text
 * @param {string} clicked the terms that stand for it
 */
export function toggled(text, clicked) {
  const [before, wanted] = [parse(text) ?? [], parse(clicked) ?? []];
  const others = before.filter(([key]) => !wanted.some(([other]) => other === key));
  const all = wanted.every(([key, value]) => before.some((term) => term[0] === key && term[1] === value));
  return written(all ? others : [...others, ...wanted]);
}

/**
 * What a click on a point of a figure means, or null.
 * @param {Point} point
 * @param {string} select what is selected already
 * @returns {Choice | null}
 */
export function picked(point, select) {
  const template = (point.data ?? point.trace)?.meta?.pick; // a flow's links carry their trace as another name
  if (!template) return null;
  const text = template.replace(/\{(\w+)\}/g, (_, name) => String(read(point, name) ?? ""));
  if (!text || /=(;|$)/.test(text)) return null; // a point that stands for nothing
  if (text.startsWith("sample=")) return { sample: Number(text.slice(7)) };
  return { select: toggled(select, text) };
}

/**
 * @param {Point} point
 * @param {string} name
 */
function read(point, name) {
  const place = /** @type {number[] | undefined} */ (point.pointNumber);
  if (name === "row") return place?.[0];
  if (name === "column") return place?.[1];
  const found = point[name];
  return Array.isArray(found) ? found[0] : found;
}
