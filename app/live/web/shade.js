// Whether a page is light or dark.

/**
 * "light" or "dark", by the background that Streamlit gives to what a component mounts.
 * @param {Element} root
 */
export function shade(root) {
  return luminance(getComputedStyle(root).getPropertyValue("--st-background-color")) < 0.5 ? "dark" : "light";
}

/** @param {string} colour */
function luminance(colour) {
  const context = /** @type {OffscreenCanvasRenderingContext2D} */ (new OffscreenCanvas(1, 1).getContext("2d"));
  context.fillStyle = colour.trim() || "white";
  context.fillRect(0, 0, 1, 1);
  const [red, green, blue] = context.getImageData(0, 0, 1, 1).data;
  return (0.299 * red + 0.587 * green + 0.114 * blue) / 255;
}
