// What a figure says in words: it wraps to the figure's width, and plots, legend and card make way for its lines.

const LINE = 1.3; // height of a line, in sizes of its type; Plotly's
const EDGE_PX = 4; // what a text keeps from others and from the figure's edge, and its box needs around it
const TITLE = 1.2; // size of the type of axes' titles, in that of the figure; Plotly's
const LEAST_PX = 180; // that are left for the plots, whatever stands around them
const SAME = 0.02; // of the plots' height: texts this close stand in one row
const CLOSE_PX = 1;
const brush = /** @type {CanvasRenderingContext2D} */ (document.createElement("canvas").getContext("2d"));
const plain = document.createElement("textarea"); // reads "&lt;"

/** How many px a line takes; what stands between <b> and </b> is bold. */
function widthOf(line, size, family) {
  const parts = line.split(/<b>(.*?)(?:<\/b>|$)/); // every other one is bold
  return parts.reduce((sum, part, place) => {
    brush.font = `${place % 2 ? "bold " : ""}${size}px ${family}`;
    plain.innerHTML = part.replace(/<[^>]*>/g, "");
    return sum + brush.measureText(plain.value).width;
  }, 0);
}

/** A line as lines none of which is wider than `room`, unless one word is; a "·" stays at the end of its line. */
function broken(line, room, width) {
  const lines = [];
  for (const word of line.replaceAll(" ·", "\u00a0·").split(" ")) {
    const last = lines.at(-1);
    if (last === undefined) lines.push(word);
    else if (width(`${last} ${word}`) <= room) lines[lines.length - 1] = `${last} ${word}`;
    else if (last.lastIndexOf("<b>") > last.lastIndexOf("</b>")) lines.splice(-1, 1, `${last}</b>`, `<b>${word}`);
    else lines.push(word);
  }
  return lines;
}

/** How many px a text on the paper may take: up to the edge, or to the text that begins beside it. */
function roomOf(note, notes, { l, w }, whole) {
  const at = (x) => l + x * w;
  const [left, right] = [at(note.x) - EDGE_PX, whole - at(note.x) - EDGE_PX];
  if (note.xanchor === "center") return 2 * Math.min(left, right);
  if (note.xanchor === "right") return left;
  const beside = notes.filter((one) => one.x > note.x && one.yref === note.yref && Math.abs(one.y - note.y) < SAME);
  return Math.min(right, ...beside.map((one) => (one.x - note.x) * w - EDGE_PX));
}

const wrap = (text, room, width) => text.split("<br>").flatMap((line) => broken(line, room, width)).join("<br>");
const count = (text) => text.split("<br>").length;

/** The figure's texts, those on the paper wrapped; `lines` and `more` are how many lines each has, and gained. */
function wrapped(layout, size, whole, family) {
  const notes = layout.annotations ?? [];
  return notes.map((note) => {
    if (note.xref !== "paper" || note.showarrow !== false) return { ...note, lines: 0, more: 0, px: 0 };
    const px = note.font?.size ?? layout.font.size;
    const width = (line) => widthOf(line, px, family);
    const room = roomOf(note, notes.filter(({ xref }) => xref === "paper"), size, whole);
    const text = wrap(note.text, room, width);
    return { ...note, text, px: px * LINE, lines: count(text), more: count(text) - count(note.text) };
  });
}

/** An axis with its title, which is written over its middle, wrapped to what there is on both sides. */
function titled(name, axis, { size: { l, t, w, h }, width, height }, font) {
  const [low, high] = axis.domain ?? [0, 1];
  const [middle, whole] = name[0] === "x" ? [l + ((low + high) / 2) * w, width] : [t + (1 - (low + high) / 2) * h, height];
  const room = 2 * (Math.min(middle, whole - middle) - EDGE_PX);
  const text = axis.title?.text && wrap(axis.title.text, room, (line) => widthOf(line, TITLE * font.size, font.family));
  return text ? { ...axis, title: { ...axis.title, text } } : axis;
}

/** From where to where on the paper each plot stands. */
const heights = (layout) =>
  Object.entries(layout)
    .filter(([name, axis]) => name.startsWith("yaxis") && !axis.overlaying)
    .map(([, axis]) => axis.domain ?? [0, 1]);

/** The room that texts stand in, up to the next plot, the legend or their own plot's end: from, to, and the px needed. */
function gaps(layout, notes, legend) {
  const plots = heights(layout);
  const above = [...plots.map(([low]) => low), ...(legend ? [layout.legend.y] : [])].sort((a, b) => a - b);
  const found = new Map();
  for (const { y, yref, yanchor, lines, px } of notes) {
    if (!lines || yref !== "paper" || yanchor !== "bottom") continue;
    const inside = plots.find(([low, high]) => y >= low && y < high);
    const to = inside?.[1] ?? above.find((edge) => edge >= y);
    if (to === undefined) continue;
    const [from, need] = found.get(to) ?? [y, 0];
    found.set(to, [Math.min(from, y), Math.max(need, lines * px + 2 * EDGE_PX)]);
  }
  return [...found].map(([to, [from, need]]) => ({ from, to, need }));
}

/** The px that gaps below a height lack while the plots are `high`. */
const lacking = (found, high, upTo = Infinity) =>
  found.reduce((sum, { from, to, need }) => sum + (to <= upTo ? Math.max(0, need - (to - from) * high) : 0), 0);

/** How high the plots would be without the px that gaps get, where with them the height `y` is so many px up. */
function before(found, y, px) {
  let [low, top] = [0, px];
  while (top - low > CLOSE_PX / 4) {
    const middle = (low + top) / 2;
    if (y * middle + lacking(found, middle, y) > px) top = middle;
    else low = middle;
  }
  return low;
}

/** The px that texts outside the plots gained, above where no legend stands and below, and those on rows of one plot. */
function gained(layout, notes, found) {
  const most = (meant) => Math.max(0, ...notes.filter(meant).map(({ more, px }) => more * px));
  const outer = ({ yref }) => yref === "paper";
  const highest = Math.max(...heights(layout).map(([, high]) => high));
  const gapless = ({ y }) => y >= highest && !found.some(({ from, to }) => y >= from && y < to);
  const { range } = layout.yaxis;
  return {
    t: most((note) => outer(note) && note.yanchor === "bottom" && gapless(note)),
    b: most((note) => outer(note) && note.yanchor === "top" && note.y <= 0),
    rows: range ? Math.abs(range[1] - range[0]) * most(({ yref }) => yref === "y") : 0,
  };
}

/**
 * A figure's layout with its texts wrapped, and how high it is at least.
 *
 * `frame` has the figure's px: `width`, `height`, `size` (margins l, r, t,
 * b and plots w, h, as they were drawn last), and the height of the `legend` above, 0 without one.
 */
export function fitted(layout, frame) {
  const { width, height, size, legend } = frame;
  const notes = wrapped(layout, size, width, layout.font.family);
  const found = gaps(layout, notes, legend);
  const more = gained(layout, notes, found);
  const { t, b } = layout.margin;
  const edges = legend ? [[1, t + more.t], [Math.max(1, layout.legend.y), legend]] : [[1, size.t]]; // heights, and px above them
  // At least a pixel: where margins and legend take all of the height, the figure grows to what is wanted, drawn once more.
  const own = Math.max(1, Math.min(...edges.map(([y, above]) => before(found, y, height - above - size.b))));
  const up = (y, plots) => y * plots + lacking(found, plots, y);
  const high = up(1, own);
  const place = (y) => up(y, own) / high;
  const axes = Object.entries(layout).filter(([name]) => /^[xy]axis/.test(name)).map(([name, axis]) => {
    const moved = name[0] === "y" && axis.domain ? { domain: axis.domain.map((y) => Math.min(place(y), 1)) } : {};
    return [name, titled(name, { ...axis, ...moved }, frame, layout.font)];
  });
  const annotations = notes.map(({ lines: _, more: __, px: ___, ...note }) =>
    note.yref === "paper" ? { ...note, y: place(note.y) } : note);
  const margin = { ...layout.margin, t: t + more.t, b: b + more.b };
  const least = LEAST_PX + more.rows;
  return {
    layout: { ...layout, ...Object.fromEntries(axes), annotations, margin, legend: { ...layout.legend, y: place(layout.legend.y) } },
    wanted: Math.max(...edges.map(([y, above]) => up(y, least) + above)) + size.b,
  };
}
