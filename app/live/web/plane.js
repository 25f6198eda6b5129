// The bytes of a decision field, and their colours. Row 0 of a plane is its bottom; 255 is probability 1.

const MAGIC = 0x4b444631;
const FAINTEST = 0.12; // how much of its colour a class keeps where the network can only guess

/** {info, planes, at}: the header, the planes by name, and what they say at a point. */
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

function cell({ extent: [x0, x1, y0, y1], size }, planes, x, y) {
  const place = (value, low, high) =>
    Math.min(size - 1, Math.max(0, Math.round(((value - low) / (high - low)) * (size - 1))));
  const at = place(y, y0, y1) * size + place(x, x0, x1);
  const said = (network) =>
    planes[`${network}_class`] && { k: planes[`${network}_class`][at], share: planes[`${network}_share`][at] / 255 };
  return { student: said("student"), teacher: said("teacher"), followed: planes.followed && planes.followed[at] / 255 };
}

/** A network's classes, paler where it is less sure. */
export function paintNetwork({ info, planes }, network) {
  const [classes, shares] = [planes[`${network}_class`], planes[`${network}_share`]];
  const table = networkTable(info);
  return { image: paint(info.size, (at) => table[(classes[at] << 8) | shares[at]]) };
}

/** The student's share of the teacher's class minus the teacher's own, and a mask where their classes differ. */
export function paintDisagreement({ info, planes }) {
  const { teacher_class, teacher_share, student_class, followed } = planes;
  const table = signedTable(info.theme);
  const image = paint(info.size, (at) => table[followed[at] - teacher_share[at] + 255]);
  const mask = paint(info.size, (at) => (teacher_class[at] === student_class[at] ? 0 : 0xff000000));
  return { image, mask };
}

/** A canvas of size x size pixels, turned so that row 0 is at the bottom; `colour` gives ABGR. */
function paint(size, colour) {
  const canvas = new OffscreenCanvas(size, size);
  const pixels = new Uint32Array(size * size);
  for (let row = 0; row < size; row++) {
    const above = (size - 1 - row) * size;
    for (let column = 0; column < size; column++) pixels[above + column] = colour(row * size + column);
  }
  const image = new ImageData(new Uint8ClampedArray(pixels.buffer), size, size);
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

const remembered = new Map(); // tables by what they were made of

function table(of, make) {
  const name = JSON.stringify(of);
  if (!remembered.has(name)) remembered.set(name, make());
  return remembered.get(name);
}

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

function signedTable({ teacher, student, zero }) {
  return table([teacher, student, zero], () => {
    const [left, middle, right] = [teacher, zero, student].map(rgb);
    return Uint32Array.from({ length: 511 }, (_, place) => {
      const sign = (place - 255) / 255;
      return abgr(mix(middle, sign < 0 ? left : right, Math.abs(sign)));
    });
  });
}

function rgb(colour) {
  const context = new OffscreenCanvas(1, 1).getContext("2d");
  context.fillStyle = colour;
  context.fillRect(0, 0, 1, 1);
  return [...context.getImageData(0, 0, 1, 1).data.slice(0, 3)];
}

const mix = (from, to, share) => from.map((value, place) => value + (to[place] - value) * share);
const abgr = ([red, green, blue]) => (0xff000000 | (blue << 16) | (green << 8) | red) >>> 0;
