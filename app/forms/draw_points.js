// A canvas on which people set the points of a data set. Python holds the points; this file draws and edits them.
// It is called again when the page becomes light or dark; `shade` comes from live/web/shade.js.
// While changes are on their way to Python, what Python says is a moment old and is not taken over.

const boards = new WeakMap()
const ERASE = -1
const WAIT_MS = 300 // after the last change, before Python hears of it

export default function ({ parentElement, data, setTriggerValue }) {
  const board = boards.get(parentElement) ?? make(parentElement)
  boards.set(parentElement, board)
  board.send = (points) => setTriggerValue("points", points)
  board.most = data.most
  board.names = data.names
  if (!board.timer && JSON.stringify(data.points) !== board.sent) {
    board.points = data.points.map((point) => [...point])
    board.extent = Math.max(1.25, ...board.points.map(([x, y]) => 1.1 * Math.max(Math.abs(x), Math.abs(y))))
  }
  chips(board, data.colors[shade(board.root)])
  draw(board)
  const call = (board.calls = (board.calls ?? 0) + 1)
  return () => {
    if (call < board.calls) return // another call overtook this one; the board stays
    boards.delete(parentElement)
    clearTimeout(board.timer)
    board.watch.disconnect()
  }
}

function make(parent) {
  const root = parent.querySelector(".points")
  root.innerHTML = `<div class="bar" role="toolbar" aria-label="Class to draw"></div>
    <canvas tabindex="0" role="application" aria-label="Plane to draw points on"></canvas>`
  const canvas = root.querySelector("canvas")
  const board = { root, canvas, points: [], extent: 1.25, label: 0, cursor: null, down: false, timer: 0, sent: "" }
  canvas.onpointerdown = (event) => {
    canvas.setPointerCapture(event.pointerId)
    board.down = true
    set(board, place(board, event), 0)
  }
  canvas.onpointermove = (event) => board.down && spray(board, event)
  canvas.onpointerup = canvas.onpointercancel = () => (board.down = false)
  canvas.onkeydown = (event) => key(board, event)
  board.watch = new ResizeObserver(() => draw(board))
  board.watch.observe(canvas)
  return board
}

function chips(board, colors) {
  board.colors = colors
  const bar = board.root.querySelector(".bar")
  const chip = (label, text, mark) => {
    const button = document.createElement("button")
    button.type = "button"
    button.setAttribute("aria-pressed", String(board.label === label))
    button.innerHTML = mark ? `<i style="background:${mark}"></i>` : ""
    button.append(text)
    button.onclick = () => choose(board, label)
    return button
  }
  const classes = colors.map((color, label) => chip(label, board.names[label] ?? `Class ${label}`, color))
  const used = 2 + Math.max(0, ...board.points.map((point) => point[2]))
  const count = document.createElement("output")
  bar.replaceChildren(...classes.slice(0, Math.max(2, used)), chip(ERASE, "Erase"), count)
}

function choose(board, label) {
  board.label = label
  chips(board, board.colors)
  draw(board)
}

/** @returns {[number, number]} */
function place(board, event) {
  const box = board.canvas.getBoundingClientRect()
  const unit = (2 * board.extent) / box.width
  return [(event.clientX - box.left) * unit - board.extent, board.extent - (event.clientY - box.top) * unit]
}

function spray(board, event) {
  const now = performance.now()
  if (now - (board.sprayed ?? 0) < 40) return
  board.sprayed = now
  set(board, place(board, event), 0.04)
}

function set(board, [x, y], jitter) {
  if (board.label === ERASE) {
    const reach = 0.06 * board.extent
    board.points = board.points.filter((point) => Math.hypot(point[0] - x, point[1] - y) > reach)
  } else if (board.points.length < board.most) {
    const shake = () => (Math.random() - 0.5) * 2 * jitter * board.extent
    board.points.push([round(x + shake()), round(y + shake()), board.label])
  }
  clearTimeout(board.timer)
  board.timer = setTimeout(() => {
    board.timer = 0
    board.sent = JSON.stringify(board.points)
    chips(board, board.colors)
    draw(board)
    board.send(board.points)
  }, WAIT_MS)
  draw(board)
}

function round(value) {
  return Math.round(value * 1000) / 1000
}

function key(board, event) {
  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }
  const number = Number.parseInt(event.key, 10)
  if (event.key in moves) {
    const [dx, dy] = moves[event.key].map((way) => way * 0.05 * board.extent)
    const [x, y] = board.cursor ?? [0, 0]
    const keep = (value) => Math.max(-board.extent, Math.min(board.extent, value))
    board.cursor = [keep(x + dx), keep(y + dy)]
    draw(board)
  } else if (event.key === " " || event.key === "Enter") {
    set(board, (board.cursor ??= [0, 0]), 0)
  } else if (number >= 1 && number <= board.colors.length) {
    choose(board, number - 1)
  } else if (event.key === "Backspace" || event.key === "Delete") {
    choose(board, ERASE)
  } else return
  event.preventDefault()
  event.stopPropagation()
}

function draw(board) {
  const { canvas, extent } = board
  const scale = window.devicePixelRatio || 1
  const side = Math.round(canvas.clientWidth * scale)
  if (!side) return
  canvas.width = canvas.height = side
  const pen = canvas.getContext("2d")
  const style = getComputedStyle(canvas)
  /** @returns {[number, number]} */
  const at = (x, y) => [((x + extent) / (2 * extent)) * side, ((extent - y) / (2 * extent)) * side]
  pen.strokeStyle = style.getPropertyValue("--st-border-color")
  pen.beginPath()
  for (const [from, to] of [[at(-extent, 0), at(extent, 0)], [at(0, -extent), at(0, extent)]]) {
    pen.moveTo(...from)
    pen.lineTo(...to)
  }
  pen.stroke()
  for (const [x, y, label] of board.points) {
    pen.fillStyle = board.colors[label % board.colors.length]
    pen.beginPath()
    pen.arc(...at(x, y), 4.5 * scale, 0, 2 * Math.PI)
    pen.fill()
  }
  if (board.cursor) {
    pen.strokeStyle = style.color
    pen.lineWidth = 2 * scale
    pen.beginPath()
    pen.arc(...at(...board.cursor), 8 * scale, 0, 2 * Math.PI)
    pen.stroke()
  }
  board.root.querySelector("output").textContent = `${board.points.length} points`
}
