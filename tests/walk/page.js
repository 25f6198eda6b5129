// What the walk asks of a page; the browser runs this before any page's own scripts, so `walk` is there on each.

window.walk = (() => {
  const UNSEEN = "script, style, template, [role=tooltip], [data-live-announcer], .hoverlayer, .katex-mathml, [data-testid=stStatusWidget]";
  const SAYS = ["aria-expanded", "aria-checked", "aria-selected", "aria-pressed", "aria-valuenow", "aria-valuetext",
    "disabled", "hidden", "open", "src", "data-testid"]; // prettier-ignore
  const CONTROLS = "button, [role=button], [role=tab], [role=radio], [role=combobox], [role=slider], summary, a[href], " +
    "select, textarea, canvas[tabindex], input:not([type=file], [type=hidden])"; // prettier-ignore
  const CHOSEN = "[aria-checked=true][role=radio], [aria-selected=true], [aria-current=page], [aria-current=true], .modebar-btn.active, [role=toolbar] > [aria-pressed=true]";
  const OWN = ["[data-testid=stElementContainer]", "label, .kd-pair", "*"]; // where a control's own value stands
  const HIGHEST = 16_000; // px, which Chromium still draws in good time
  const wait = (ms) => new Promise((done) => setTimeout(done, ms));
  const text = (e) => (e?.textContent ?? "").replace(/\s+/g, " ").trim();

  /** Its text, without the names of the signs that it is drawn with. */
  function words(e) {
    const copy = e.cloneNode(true);
    for (const sign of copy.querySelectorAll("[data-testid=stIconMaterial]")) sign.remove();
    return text(copy);
  }

  function* elements(root) {
    for (const e of root.querySelectorAll("*")) {
      yield e;
      if (e.shadowRoot) yield* elements(e.shadowRoot);
    }
  }

  const seen = (e) => {
    const box = e.getBoundingClientRect();
    return box.width > 1 && box.height > 1 && e.checkVisibility({ visibilityProperty: true, opacityProperty: true });
  };

  /** All that a person can tell of the page, as one text: words, values, marks and drawn lines. */
  function print(without, still = true) {
    const found = [location.href, document.fullscreenElement ? "full screen" : ""];
    const look = (node) => {
      if (node === without) return;
      if (node.nodeType === 3) return void (node.textContent.trim() && found.push(node.textContent));
      if (node.nodeType === 1) {
        if (node.matches(UNSEEN) || (!still && node.matches("svg, canvas"))) return;
        for (const said of SAYS) if (node.hasAttribute(said)) found.push(`${said}=${node.getAttribute(said)}`);
        if (typeof node.value === "string" || typeof node.value === "number") found.push(`value=${node.value}`);
        if (node.type === "checkbox") found.push(`checked=${node.checked}`);
        if (node.matches(".modebar-btn, .kd-card")) found.push(node.getAttribute("class"));
        if (node.matches("path")) found.push(node.getAttribute("d") ?? "");
        if (node.shadowRoot) node.shadowRoot.childNodes.forEach(look);
      }
      node.childNodes.forEach(look);
    };
    look(document.body);
    return found.join("\n");
  }

  /** The print as it is compared: on a page under way, numbers and charts that move by themselves are no answer. */
  const compared = (without, still) => (still ? print(without) : print(without, false).replace(/[\d.,:e−–-]+/g, "#"));

  const busy = () => {
    /** @type {HTMLElement | null} */
    const app = document.querySelector("[data-testid=stApp]");
    if (!app || app.dataset.testScriptState !== "notRunning" || app.dataset.testConnectionState !== "CONNECTED") return true;
    if (document.querySelector("[data-testid=stSkeleton], [data-testid=stSpinner], [data-testid=stProgress]")) return true;
    return [...document.querySelectorAll(".kd-card[data-empty=waits], .kd-chart[data-empty=waits]")].some((card) => {
      const { top, bottom } = card.getBoundingClientRect();
      return card.checkVisibility() && bottom > 0 && top < innerHeight;
    });
  };

  const moves = { count: 0, at: 0 };
  const observer = new MutationObserver(() => { moves.count++; moves.at = performance.now(); }); // prettier-ignore
  observer.observe(document, { subtree: true, childList: true, attributes: true, characterData: true });

  /** Resolves with true once the page has stood still for so long, with false where it never does. */
  async function settle(calmMs, limitMs) {
    const began = performance.now();
    let since = began;
    while (performance.now() - began < limitMs) {
      if (busy()) since = performance.now();
      if (performance.now() - Math.max(since, moves.at) >= calmMs) return true;
      await wait(50);
    }
    return false;
  }

  /** Remember how the page looks, but for the control's own place where it holds a value. */
  function mark(index, still) {
    const control = index == null ? null : walk.controls[index];
    walk.own = control && holds(control) ? OWN.map((one) => control.closest(one)).find(Boolean) : null;
    walk.before = compared(walk.own, still);
    walk.address = location.href;
    walk.still = still;
  }

  /** Resolves with what changed since `mark`: "address", "page", or null after so long. */
  async function changed(limitMs) {
    const began = performance.now();
    let counted = -1;
    for (;;) {
      if (location.href !== walk.address) return "address";
      const last = performance.now() - began >= limitMs; // a value may change without a mutation
      if ((counted !== moves.count || last) && compared(walk.own?.isConnected ? walk.own : null, walk.still) !== walk.before) return "page";
      if (last) return null;
      counted = moves.count;
      await wait(60);
    }
  }

  const holds = (e) => ["fill", "choose", "pick", "slide", "toggle"].includes(kind(e));

  /** How a control is used. */
  function kind(e) {
    const role = e.getAttribute("role");
    if (role === "combobox") return "choose";
    if (e.tagName === "SELECT") return "pick";
    if (role === "slider" || e.type === "range") return "slide";
    if (e.type === "checkbox") return "toggle";
    if (e.tagName === "CANVAS") return "draw";
    if (e.matches("textarea, input")) return "fill";
    return e.tagName === "A" ? "follow" : "press";
  }

  function name(e) {
    const said = e.getAttribute("aria-label") || words(e) || e.title || e.dataset.title || e.labels?.[0]?.textContent;
    const about = text(e.closest("[data-testid=stElementContainer]")?.querySelector("[data-testid=stWidgetLabel] p"));
    return [about && !said?.includes(about) ? about : "", said || e.tagName].filter(Boolean).join(": ").slice(0, 90);
  }

  /** The controls that can be used now, in the order of `walk.controls`. */
  function find(within = document) {
    walk.controls = [];
    const found = [];
    for (const e of elements(within)) {
      const off = e.disabled || e.getAttribute("aria-disabled") === "true" || e.tabIndex < 0 && e.matches("[aria-label=Open]");
      if (!e.matches(CONTROLS) || off || e.matches(CHOSEN) || (!seen(e) && e.type !== "checkbox")) continue;
      if (e.closest("[data-testid=stDataFrame], [data-testid=stElementToolbar], [inert]")) continue;
      if (e.type === "checkbox" && !seen(e.parentElement.parentElement)) continue;
      const group = [...(e.closest("[class*=st-key-]")?.classList ?? [])].find((one) => one.startsWith("st-key-")) ?? "";
      const frame = e.closest("[data-testid=stSidebar], [data-testid=stHeader]") ? "frame" : "main";
      found.push({ kind: kind(e), name: name(e), group, frame, href: e.href ?? "", testid: e.dataset.testid ?? "", folds: e.matches("summary, .kd-more") });
      walk.controls.push(e);
    }
    return found;
  }

  /** Unfold what is folded, so that all of the page stands there. */
  function unfold() {
    const folded = [...document.querySelectorAll("details:not([open]) > summary, .kd-more[aria-expanded=false]")].filter(seen);
    for (const e of folded) /** @type {HTMLElement} */ (e).click();
    return folded.length;
  }

  /** Scroll through all that scrolls, so that what is drawn late is drawn. */
  async function stroll() {
    const main = document.querySelector("[data-testid=stMain]") ?? document.documentElement;
    for (let top = 0; top < main.scrollHeight; top += 0.8 * innerHeight) {
      main.scrollTo(0, top);
      await wait(120);
    }
    main.scrollTo(0, 0);
  }

  /** A window as wide as this one that holds the page from top to bottom. */
  function whole() {
    const parts = [...document.querySelectorAll("[data-testid=stMain], [data-testid=stSidebarContent]")];
    return { width: innerWidth, height: Math.min(HIGHEST, Math.max(innerHeight, ...parts.map((one) => one.scrollHeight + 100))) };
  }

  const shift = { worth: 0 };
  new PerformanceObserver((list) => {
    for (const entry of /** @type {LayoutShift[]} */ (list.getEntries())) if (!entry.hadRecentInput) shift.worth += entry.value;
  }).observe({ type: "layout-shift", buffered: true });

  return { print, settle, mark, changed, find, unfold, stroll, whole, elements, seen, text, shift };
})();
