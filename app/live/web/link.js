// Says so when the connection is gone.

import { h, write } from "./dom.js";
import { wire } from "./wire.js";

/** A note at the foot of the window while there is no connection. Returns it, with a way to end it. */
export function linkNote() {
  const note = h("div", { class: "kd-link", role: "status", hidden: "" });
  const show = () => {
    note.hidden = wire.link === "open" || wire.link === "connecting";
    write(note, wire.link === "refused" ? wire.trouble : "Reconnecting …");
  };
  wire.addEventListener("link", show);
  show();
  return { note, end: () => wire.removeEventListener("link", show) };
}
