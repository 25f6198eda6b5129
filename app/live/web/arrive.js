// A page that is opened is shown once what stands on its first screen is there (see page.css), for Streamlit sends it bit
// by bit and each bit moves those below. What a script adds later comes below. The room of a sidebar is kept free until
// the sidebar is there or somebody goes on to another page.

const LONGEST_MS = 3000; // a page that takes longer is shown as far as it is
const LOOK_MS = 50;
const STILL_MS = 150; // so long nothing comes, once the script is through
const SLOW_MS = 600; // and before that, where it may still be at work on what stands above
const page = document.documentElement.classList;
const opened = location.pathname;
let moved = 0;

const moves = new MutationObserver(() => { moved = performance.now(); }); // prettier-ignore
moves.observe(document.documentElement, { childList: true, subtree: true });

const bar = ".st-key-transport:not(:has(.kd-transport[data-state]))"; // from its place on the page to the first word of its run
const waits = `[data-testid=stSkeleton], ${bar}, .kd-card[data-empty=waits]`;
const seen = (e) => e.checkVisibility() && e.getBoundingClientRect().top < innerHeight;
const still = () => (document.querySelector("[data-testid=stApp][data-test-script-state=notRunning]") ? STILL_MS : SLOW_MS);
const lacks = () => !document.querySelector(".stMain .stElementContainer") || [...document.querySelectorAll(waits)].some(seen);

page.add("kd-arriving");
const looks = setInterval(() => {
  const now = performance.now();
  if ((lacks() || now - moved < still()) && now < LONGEST_MS) return;
  page.remove("kd-arriving");
  clearInterval(looks);
  moves.disconnect();
}, LOOK_MS);

new MutationObserver((_, watch) => {
  if (location.pathname === opened && !document.querySelector(".stSidebar .stElementContainer")) return;
  page.remove("kd-beside");
  watch.disconnect();
}).observe(document.documentElement, { childList: true, subtree: true });
