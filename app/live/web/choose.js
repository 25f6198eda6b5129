// Selections of rows, as text: `part=teacher_only;true=3`. A click takes its terms in, or out where all were there.

const terms = (text) => text.split(";").filter(Boolean);
const key = (term) => term.slice(0, term.indexOf("="));

export function toggled(text, picked) {
  const wanted = terms(picked);
  const before = terms(text);
  const others = before.filter((term) => !wanted.some((one) => key(one) === key(term)));
  const all = wanted.every((one) => before.includes(one));
  return (all ? others : [...others, ...wanted]).join(";");
}

/** What a click on a point of a figure means: {sample} or {select}, or null. */
export function picked(point, select) {
  const template = (point.data ?? point.trace)?.meta?.pick; // a flow's links carry their trace as another name
  if (!template) return null;
  const value = (name) => {
    if (name === "row") return point.pointNumber?.[0];
    if (name === "column") return point.pointNumber?.[1];
    const found = point[name];
    return Array.isArray(found) ? found[0] : found;
  };
  const text = template.replace(/\{(\w+)\}/g, (_, name) => value(name) ?? "");
  if (!text || /=(;|$)/.test(text)) return null; // a point that stands for nothing
  if (text.startsWith("sample=")) return { sample: Number(text.slice(7)) };
  return { select: toggled(select, text) };
}
