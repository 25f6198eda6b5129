// Says why nothing on a page answers whose proxy gives the server another name than the browser knows, and what to set.

const { host, origins } = JSON.parse(/** @type {HTMLMetaElement} */ (document.querySelector("meta[name=kdlab-access]")).content);
const STYLE = "position:fixed;inset:0 0 auto;z-index:9999999;padding:.8rem 1.2rem;font:1rem/1.4 sans-serif;" +
  "background:#7a1f1f;color:#fff"; // prettier-ignore

if (location.host !== host && !origins.includes(location.origin)) {
  const said = document.createElement("div");
  said.setAttribute("role", "alert");
  said.style = STYLE;
  said.textContent =
    `This page was opened at ${location.origin}, but its server was asked for ${host}, so it refuses the page's sockets. ` +
    `Start it with “kdlab app --origin ${location.origin}”, set KDLAB_ORIGINS=${location.origin}, ` +
    "or have the proxy pass on the Host header.";
  document.body.append(said);
}
