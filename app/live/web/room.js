// Keeps the room of a sidebar free (see page.css) until the sidebar is there or somebody goes on to another page.

const opened = location.pathname;

new MutationObserver((_, watch) => {
  if (location.pathname === opened && !document.querySelector(".stSidebar .stElementContainer")) return;
  document.documentElement.classList.remove("kd-beside");
  watch.disconnect();
}).observe(document.documentElement, { childList: true, subtree: true });
