// A page that is opened is shown once it is whole (see page.css), for Streamlit sends it bit by bit and each bit moves
// those below. The room of a sidebar is kept free until the sidebar is there or somebody goes on to another page.

const LONGEST_MS = 6000; // a page that takes longer is shown as far as it is
const LOOK_MS = 50;
const CALM = 3; // looks in a row that find nothing missing
const page = document.documentElement.classList;
const opened = location.pathname;

const lacks = () =>
  document.querySelector("[data-testid=stApp]")?.dataset.testScriptState !== "notRunning" ||
  document.querySelector("[data-testid=stSkeleton], .kd-transport:not([data-state])") ||
  [...document.querySelectorAll(".kd-card[data-empty=waits]")].some((card) => card.getBoundingClientRect().top < innerHeight);

page.add("kd-arriving");
let calm = 0;
const looks = setInterval(() => {
  calm = lacks() ? 0 : calm + 1;
  if (calm < CALM && performance.now() < LONGEST_MS) return;
  page.remove("kd-arriving");
  clearInterval(looks);
}, LOOK_MS);

new MutationObserver((_, watch) => {
  if (location.pathname === opened && !document.querySelector(".stSidebar .stElementContainer")) return;
  page.remove("kd-beside");
  watch.disconnect();
}).observe(document.documentElement, { childList: true, subtree: true });
