// A pad on which people draw an image pixel by pixel, or change one. Python gives an image to begin with; from then on
// the pad holds it and tells Python after each stroke.

const pads = new WeakMap()
const WAIT_MS = 150 // after the last change, before Python hears of it
const DEPTH = 60 // strokes that can be taken back
const PENS = { Fine: 0.5, Medium: 1, Thick: 1.6 } // radii in pixels
const MARKS = 64 // pixels along a side up to which a grid is drawn

export default function ({ parentElement, data, setTriggerValue }) {
  const pad = pads.get(parentElement) ?? make(parentElement)
  pads.set(parentElement, pad)
  pad.send = (pixels) => setTriggerValue("pixels", pixels)
  if (pad.version !== data.version) take(pad, data)
  draw(pad)
  const call = (pad.calls = (pad.calls ?? 0) + 1)
  return () => {
    if (call < pad.calls) return // another call overtook this one; the pad stays
    pads.delete(parentElement)
    if (pad.timer) tell(pad) // a stroke that Python has not heard of yet
    pad.watch.disconnect()
  }
}

function take(pad, { version, shape, pixels }) {
  const [channels, height, width] = shape
  clearTimeout(pad.timer)
  Object.assign(pad, { version, channels, height, width, past: [], cursor: null, timer: 0, cover: null })
  pad.pixels = Uint8ClampedArray.from(pixels)
  pad.canvas.style.aspectRatio = `${width} / ${height}`
  pad.colour.hidden = channels < 3
  pad.grey.hidden = channels >= 3
}

function make(parent) {
  const root = parent.querySelector(".pad")
  root.innerHTML = `<div class="bar" role="toolbar" aria-label="Pen">
      ${Object.keys(PENS).map((pen) => `<button type="button" data-pen="${pen}">${pen}</button>`).join("")}
      <button type="button" data-erase>Erase</button>
      <label class="grey">Grey <input type="range" min="1" max="255" value="255" aria-label="Grey level of the pen"></label>
      <label class="colour">Colour <input type="color" value="#ffffff" aria-label="Colour of the pen"></label>
    </div>
    <canvas tabindex="0" role="application" aria-label="Pad to draw on. Arrows move, space sets a dot, E erases, Z takes back."></canvas>
    <div class="bar"><button type="button" data-undo>Undo</button><button type="button" data-clear>Clear</button></div>`
  const find = (selector) => root.querySelector(selector)
  const pad = { root, canvas: find("canvas"), grey: find(".grey"), colour: find(".colour"), pen: "Medium", erase: false, down: false, past: [] }
  for (const button of root.querySelectorAll("[data-pen]")) button.onclick = () => hold(pad, button.dataset.pen, false)
  find("[data-erase]").onclick = () => hold(pad, pad.pen, !pad.erase)
  find("[data-undo]").onclick = () => undo(pad)
  find("[data-clear]").onclick = () => clear(pad)
  const { canvas } = pad
  canvas.onpointerdown = (event) => {
    if (event.button) return
    canvas.setPointerCapture(event.pointerId)
    pad.down = true
    begin(pad)
    stroke(pad, place(pad, event))
  }
  canvas.onpointermove = (event) => {
    if (pad.down) for (const one of event.getCoalescedEvents?.() ?? [event]) stroke(pad, place(pad, one))
  }
  canvas.onpointerup = canvas.onpointercancel = () => {
    if (pad.down) end(pad)
    pad.down = false
  }
  canvas.onkeydown = (event) => key(pad, event)
  canvas.onblur = () => {
    pad.cursor = null
    draw(pad)
  }
  pad.watch = new ResizeObserver(() => draw(pad))
  pad.watch.observe(canvas)
  hold(pad, pad.pen, false)
  return pad
}

function hold(pad, pen, erase) {
  Object.assign(pad, { pen, erase })
  for (const button of pad.root.querySelectorAll("[data-pen]")) {
    button.setAttribute("aria-pressed", String(!erase && button.dataset.pen === pen))
  }
  pad.root.querySelector("[data-erase]").setAttribute("aria-pressed", String(erase))
}

/** What the pen leaves, one number a channel; erased is black. */
function ink(pad) {
  if (pad.erase) return Array(pad.channels).fill(0)
  if (pad.channels < 3) return Array(pad.channels).fill(Number(pad.grey.querySelector("input").value))
  const colour = pad.colour.querySelector("input").value
  return [1, 3, 5].map((at) => Number.parseInt(colour.slice(at, at + 2), 16))
}

/** @returns {[number, number]} */
function place(pad, event) {
  const box = pad.canvas.getBoundingClientRect()
  return [((event.clientX - box.left) / box.width) * pad.width, ((event.clientY - box.top) / box.height) * pad.height]
}

function keep(pad) {
  pad.past.push(pad.pixels.slice())
  if (pad.past.length > DEPTH) pad.past.shift()
}

function begin(pad) {
  keep(pad)
  pad.cover = new Float32Array(pad.width * pad.height) // how much of each pixel this stroke covers
  pad.last = null
}

/** Along the line from the last place of the stroke: a pixel that lies half under the pen gets half of the ink. */
function stroke(pad, [x, y]) {
  const [fromX, fromY] = pad.last ?? [x, y]
  const steps = Math.max(1, Math.ceil(4 * Math.hypot(x - fromX, y - fromY)))
  for (let k = 0; k <= steps; k++) dab(pad, fromX + ((x - fromX) * k) / steps, fromY + ((y - fromY) * k) / steps)
  pad.last = [x, y]
  draw(pad)
}

function dab(pad, x, y) {
  const { width, height, channels, cover } = pad
  const radius = PENS[pad.pen]
  const before = pad.past.at(-1)
  const left = ink(pad)
  const reach = radius + 1
  for (let row = Math.max(0, Math.floor(y - reach)); row < Math.min(height, y + reach); row++) {
    for (let column = Math.max(0, Math.floor(x - reach)); column < Math.min(width, x + reach); column++) {
      const at = row * width + column
      const share = Math.max(0, Math.min(1, radius + 0.5 - Math.hypot(column + 0.5 - x, row + 0.5 - y)))
      if (share <= cover[at]) continue
      cover[at] = share
      for (let channel = 0; channel < channels; channel++) {
        const byte = channel * width * height + at
        pad.pixels[byte] = Math.round(before[byte] + share * (left[Math.min(channel, left.length - 1)] - before[byte]))
      }
    }
  }
}

function tell(pad) {
  clearTimeout(pad.timer)
  pad.timer = 0
  pad.send(Array.from(pad.pixels))
}

function end(pad) {
  clearTimeout(pad.timer)
  pad.timer = setTimeout(() => tell(pad), WAIT_MS)
  draw(pad)
}

function undo(pad) {
  if (!pad.past.length) return
  pad.pixels = pad.past.pop()
  end(pad)
}

function clear(pad) {
  keep(pad)
  pad.pixels = new Uint8ClampedArray(pad.pixels.length)
  end(pad)
}

function key(pad, event) {
  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }
  const pens = Object.keys(PENS)
  if (event.key in moves) {
    const [x, y] = pad.cursor ?? [Math.floor(pad.width / 2), Math.floor(pad.height / 2)]
    const [dx, dy] = moves[event.key]
    pad.cursor = [Math.max(0, Math.min(pad.width - 1, x + dx)), Math.max(0, Math.min(pad.height - 1, y + dy))]
    draw(pad)
  } else if (event.key === " " || event.key === "Enter") {
    pad.cursor ??= [Math.floor(pad.width / 2), Math.floor(pad.height / 2)]
    begin(pad)
    stroke(pad, [pad.cursor[0] + 0.5, pad.cursor[1] + 0.5])
    end(pad)
  } else if (event.key.toLowerCase() === "z") undo(pad)
  else if (event.key.toLowerCase() === "e") hold(pad, pad.pen, !pad.erase)
  else if (pens[Number(event.key) - 1]) hold(pad, pens[Number(event.key) - 1], false)
  else return
  event.preventDefault()
  event.stopPropagation()
}

function draw(pad) {
  const { canvas, width, height, channels } = pad
  if (!width || !canvas.clientWidth) return
  const scale = Math.max(1, Math.round((canvas.clientWidth * (window.devicePixelRatio || 1)) / width))
  canvas.width = width * scale
  canvas.height = height * scale
  const pen = canvas.getContext("2d")
  const image = new ImageData(width, height)
  for (let at = 0; at < width * height; at++) {
    for (let channel = 0; channel < 3; channel++) {
      image.data[4 * at + channel] = pad.pixels[(channels < 3 ? 0 : channel) * width * height + at]
    }
    image.data[4 * at + 3] = 255
  }
  const small = new OffscreenCanvas(width, height)
  small.getContext("2d")?.putImageData(image, 0, 0)
  pen.imageSmoothingEnabled = false
  pen.drawImage(small, 0, 0, canvas.width, canvas.height)
  if (Math.max(width, height) <= MARKS) grid(pen, pad, scale)
  if (pad.cursor) {
    const [x, y] = pad.cursor
    pen.strokeStyle = getComputedStyle(canvas).getPropertyValue("--st-primary-color")
    pen.lineWidth = Math.max(2, scale / 8)
    pen.strokeRect(x * scale, y * scale, scale, scale)
  }
  pad.root.querySelector("[data-undo]").disabled = !pad.past.length
}

function grid(pen, { width, height }, scale) {
  pen.fillStyle = "rgba(128, 128, 128, 0.35)"
  for (let x = 1; x < width; x++) pen.fillRect(x * scale, 0, 1, height * scale)
  for (let y = 1; y < height; y++) pen.fillRect(0, y * scale, width * scale, 1)
}
