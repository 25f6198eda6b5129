// What scrolls within a page can be reached by the Tab key, so that the arrow keys scroll it; Streamlit leaves these out.

const SCROLLING = "pre, .katex-display, [data-testid=stTable] > div";
const CALM_MS = 200;
let due = 0; // a timer

function mark() {
  due = 0;
  for (const part of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll(SCROLLING))) {
    const scrolls = part.scrollWidth > part.clientWidth || part.scrollHeight > part.clientHeight;
    if (scrolls && getComputedStyle(part).overflowX !== "visible") part.tabIndex = 0;
    else part.removeAttribute("tabindex");
  }
}

const soon = () => { due ||= setTimeout(mark, CALM_MS); }; // prettier-ignore

/** Keep an eye on the page from now on; a second call changes nothing. */
export function reach() {
  if (document.documentElement.dataset.kdReach) return;
  document.documentElement.dataset.kdReach = "";
  new MutationObserver(soon).observe(document.body, { subtree: true, childList: true });
  addEventListener("resize", soon);
  document.addEventListener("toggle", soon, true); // of what is unfolded
  soon();
}
