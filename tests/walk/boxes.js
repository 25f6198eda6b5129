// Boxes measured: text that lies on other text or on a control, that is cut, or that stands beyond the right edge.

walk.boxes = () => {
  const TOLERANCE = 2; // px
  const INK = 0.2; // of a line's height above and below its letters
  const SHARE = 0.1; // of the smaller box that may be covered
  const ROLLS = ["auto", "scroll"];
  const faults = new Set();
  const said = (e) => `“${walk.text(e).slice(0, 60)}”`;
  const where = (e) => {
    const card = e.closest(".kd-card")?.querySelector("h3") ?? (e.closest("[data-testid=stSidebar]") ? "sidebar" : null);
    return card ? ` (${card === "sidebar" ? card : walk.text(card)})` : "";
  };

  /** What its ancestors leave of a box, whether the rest can be scrolled to, and the floating layer that it is in. */
  function shown(e, box) {
    const left = { left: box.left, right: box.right, top: box.top, bottom: box.bottom, rolls: false, layer: null };
    let inMain = false; // what lies in the main part is scrolled into sight with it
    for (let a = e; a && a !== document.documentElement; a = a.parentElement ?? a.getRootNode().host) {
      const { position, display, overflowX, overflowY } = getComputedStyle(a);
      if (["fixed", "sticky"].includes(position)) left.layer ??= a;
      if (["inline", "contents"].includes(display) || a.tagName === "text") continue;
      const frame = a.getBoundingClientRect();
      const main = a.matches("[data-testid=stMain], [data-testid=stSidebarContent]");
      if (ROLLS.includes(overflowX) && !main) left.rolls ||= a.scrollWidth > a.clientWidth + 1;
      if (overflowX !== "visible" && !main) {
        left.left = Math.max(left.left, frame.left);
        left.right = Math.min(left.right, frame.right);
      }
      inMain ||= main;
      if (overflowY === "visible" || inMain) continue;
      left.top = Math.max(left.top, frame.top);
      left.bottom = Math.min(left.bottom, frame.bottom);
    }
    return left;
  }

  const leaves = [];
  for (const e of walk.elements(document.body)) {
    const own = [...e.childNodes].filter((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own.length || e.closest(".katex-mathml, [aria-hidden=true] svg, option, .visually-hidden") || !walk.seen(e)) continue;
    if (e.closest("[data-testid=stIconMaterial]")) continue; // a sign, whose letters are its name
    const range = document.createRange();
    for (const node of own) {
      range.selectNodeContents(node);
      for (const box of range.getClientRects()) {
        const visible = shown(e, box);
        const [width, height] = [visible.right - visible.left, visible.bottom - visible.top];
        if (box.width < 2 || width <= 0 || height <= 0) continue;
        leaves.push({ e, box, visible });
        const narrow = box.width - width;
        const beyond = !visible.rolls && box.right > innerWidth + TOLERANCE;
        if (beyond) faults.add(`beyond the right edge: ${said(e)}${where(e)}`);
        else if (narrow > TOLERANCE && !visible.rolls) faults.add(`cut: ${said(e)}${where(e)}`);
        else if (height < (1 - INK) * box.height && e.ownerSVGElement) faults.add(`cut in height: ${said(e)}${where(e)}`);
      }
    }
  }

  const turned = (e) => /rotate\((?!0|90|-90|180|270)/.test(e.getAttribute("transform") ?? "");
  const ink = ({ left, right, top, bottom }) => ({ left, right, top: top + INK * (bottom - top), bottom: bottom - INK * (bottom - top) });
  const touch = (p, q) => {
    const width = Math.min(p.right, q.right) - Math.max(p.left, q.left);
    const height = Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top);
    const area = (r) => (r.right - r.left) * (r.bottom - r.top);
    return width > TOLERANCE && height > TOLERANCE && width * height > SHARE * Math.min(area(p), area(q));
  };

  leaves.sort((a, b) => a.visible.top - b.visible.top);
  leaves.forEach((one, place) => {
    for (let next = place + 1; next < leaves.length && leaves[next].visible.top < one.visible.bottom; next++) {
      const other = leaves[next];
      if (one.e === other.e || one.visible.layer !== other.visible.layer || turned(one.e) || turned(other.e)) continue;
      const formula = one.e.closest(".katex");
      if ((formula && formula === other.e.closest(".katex")) || one.e.contains(other.e) || other.e.contains(one.e)) continue;
      if (touch(ink(one.visible), ink(other.visible))) faults.add(`overlap: ${said(one.e)} and ${said(other.e)}${where(one.e)}`);
    }
  });

  const controls = [...walk.elements(document.body)].filter((e) => e.matches("button, input, select, summary, canvas") && walk.seen(e));
  for (const control of controls) {
    if (control.matches("[type=checkbox], [type=radio], [type=range]") || control.closest("[data-testid=stDataFrame]")) continue;
    const frame = shown(control, control.getBoundingClientRect());
    for (const { e, visible } of leaves) {
      if (control.contains(e) || e.contains(control) || visible.layer !== frame.layer) continue;
      if (touch(ink(visible), frame)) faults.add(`overlap: ${said(e)} and the control “${control.getAttribute("aria-label") || walk.text(control) || control.tagName}”${where(e)}`);
    }
  }
  return [...faults];
};
