// The bytes of a decision field, and their colours. Row 0 of a plane is its bottom; 255 is probability 1.

const MAGIC = 0x4b444631;
const FAINTEST = 0.12; // how much of its colour a class keeps where the network can only guess

/** @typedef {Record<string, Uint8Array>} Planes by name, such as "student_class" */
/** @typedef {{k: number, share: number}} Answer a class and its probability */
/** @typedef {{student: Answer, teacher: Answer | undefined, followed: number | undefined}} Cell */
/** @typedef {{theme: Record<string, string>, colours: string[], [name: string]: any}} Info the header, as `app/panels/field.py` writes it */
/** @typedef {{info: Info, planes: Planes, at: (x: number, y: number) => Cell}} Plane what they say at a point */
/** @typedef {[red: number, green: number, blue: number]} Colour */

/**
 * What a field holds before its first message.
 * @type {Plane}
 */
export const UNREAD = { info: { theme: {}, colours: [] }, planes: {}, at: () => ({ student: { k: 0, share: 0 }, teacher: undefined, followed: undefined }) };

/**
 * The header and the planes of a message.
 * @param {DataView<ArrayBuffer>} bytes
 * @returns {Plane}
 */
export function parse(bytes) {
  if (bytes.getUint32(0, true) !== MAGIC) throw new Error("The field cannot be read; reload the page.");
  const length = bytes.getUint32(4, true);
  const start = bytes.byteOffset + 8;
  const info = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes.buffer, start, length)));
  const both = ["teacher_class", "teacher_share", "student_class", "student_share", "followed"];
  const names = info.teacher ? both : both.slice(2, 4);
  const area = info.size ** 2;
  const planes = Object.fromEntries(
    names.map((name, place) => [name, new Uint8Array(bytes.buffer, start + length + place * area, area)]),
  );
  return { info, planes, at: (x, y) => cell(info, planes, x, y) };
}

/**
 * What the planes say at a point; one beyond their edge is taken to it.
 * @param {Info} info
 * @param {Planes} planes
 * @param {number} x
 * @param {number} y
 * @returns {Cell}
 */
function cell({ extent: [x0, x1, y0, y1], size }, planes, x, y) {
  /** @param {number} value @param {number} low @param {number} high */
  const place = (value, low, high) =>
    Math.min(size - 1, Math.max(0, Math.round(((value - low) / (high - low)) * (size - 1))));
  const at = place(y, y0, y1) * size + place(x, x0, x1);
  /** @param {string} network */
  const said = (network) => ({ k: planes[`${network}_class`][at], share: planes[`${network}_share`][at] / 255 });
  const student = said("student");
  if (!planes.followed) return { student, teacher: undefined, followed: undefined };
  return { student, teacher: said("teacher"), followed: planes.followed[at] / 255 };
}

/**
 * A network's classes, paler where it is less sure.
 * @param {Plane} plane
 * @param {string} network
 */
export function paintNetwork({ info, planes }, network) {
  const [classes, shares] = [planes[`${network}_class`], planes[`${network}_share`]];
  const colours = networkTable(info);
  return { image: paint(info.size, (at) => colours[(classes[at] << 8) | shares[at]]) };
}

/**
 * The student's share of the teacher's class minus the teacher's own, and a mask where their classes differ.
 * @param {Plane} plane
 */
export function paintDisagreement({ info, planes }) {
  const { teacher_class, teacher_share, student_class, followed } = planes;
  const colours = signedTable(info.theme);
  const image = paint(info.size, (at) => colours[followed[at] - teacher_share[at] + 255]);
  const mask = paint(info.size, (at) => (teacher_class[at] === student_class[at] ? 0 : 0xff000000));
  return { image, mask };
}

/**
 * A canvas's context.
 * @param {OffscreenCanvas} canvas
 */
export const pen = (canvas) => /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d"));

/**
 * A canvas of size x size pixels, turned so that row 0 is at the bottom.
 * @param {number} size
 * @param {(at: number) => number} colour gives ABGR
 */
function paint(size, colour) {
  const canvas = new OffscreenCanvas(size, size);
  const pixels = new Uint32Array(size * size);
  for (let row = 0; row < size; row++) {
    const above = (size - 1 - row) * size;
    for (let column = 0; column < size; column++) pixels[above + column] = colour(row * size + column);
  }
  const image = new ImageData(new Uint8ClampedArray(pixels.buffer), size, size);
  pen(canvas).putImageData(image, 0, 0);
  return canvas;
}

/** @type {Map<string, Uint32Array>} */
const remembered = new Map(); // tables by what they were made of

/**
 * @param {unknown} of
 * @param {() => Uint32Array} make
 */
function table(of, make) {
  const name = JSON.stringify(of);
  const found = remembered.get(name) ?? make();
  remembered.set(name, found);
  return found;
}

/** @param {Info} info */
function networkTable({ colours, theme: { zero } }) {
  return table([colours, zero], () => {
    const ground = rgb(zero);
    const made = new Uint32Array(256 * Math.max(1, colours.length)).fill(abgr(ground));
    const guess = 1 / Math.max(2, colours.length);
    colours.map(rgb).forEach((colour, k) => {
      for (let share = 0; share < 256; share++) {
        const sure = Math.max(0, (share / 255 - guess) / (1 - guess));
        made[(k << 8) | share] = abgr(mix(ground, colour, FAINTEST + (0.85 - FAINTEST) * sure));
      }
    });
    return made;
  });
}

/** @param {Record<string, string>} theme */
function signedTable({ teacher, student, zero }) {
  return table([teacher, student, zero], () => {
    const [left, middle, right] = [teacher, zero, student].map(rgb);
    return Uint32Array.from({ length: 511 }, (_, place) => {
      const sign = (place - 255) / 255;
      return abgr(mix(middle, sign < 0 ? left : right, Math.abs(sign)));
    });
  });
}

/**
 * @param {string} colour as CSS names it
 * @returns {Colour}
 */
function rgb(colour) {
  const context = pen(new OffscreenCanvas(1, 1));
  context.fillStyle = colour;
  context.fillRect(0, 0, 1, 1);
  const [red, green, blue] = context.getImageData(0, 0, 1, 1).data;
  return [red, green, blue];
}

/**
 * @param {Colour} from
 * @param {Colour} to
 * @param {number} share
 * @returns {Colour}
 */
const mix = (from, to, share) => {
  /** @param {number} place */
  const between = (place) => from[place] + (to[place] - from[place]) * share;
  return [between(0), between(1), between(2)];
};

/** @param {Colour} colour */
const abgr = ([red, green, blue]) => (0xff000000 | (blue << 16) | (green << 8) | red) >>> 0;
