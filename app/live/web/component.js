// What Streamlit mounts: one instance per place on the page, kept over reruns.

import { Panels } from "./panels.js";
import { shade } from "./shade.js";
import { Transport } from "./transport.js";
import { wire } from "./wire.js";

const KINDS = { transport: Transport, panels: Panels };
const mounted = new WeakMap(); // the element Streamlit gives us -> what lives in it

/**
 * Called at each change of data or theme. The answer to the last call is called when the component leaves the page. One
 * to a call that another overtook while the script was loaded is called at once.
 */
export function mount({ data, parentElement, setTriggerValue }) {
  let instance = mounted.get(parentElement);
  if (!instance) {
    instance = new KINDS[data.kind]();
    mounted.set(parentElement, instance);
    parentElement.append(instance.root);
  }
  dress(instance.root, data.colours);
  instance.run = data.run;
  wire.adopt(data.run, data.view);
  wire.join(instance, data, (view) => setTriggerValue("view", view));
  instance.update(data);
  instance.calls = (instance.calls ?? 0) + 1;
  let fresh = true;
  setTimeout(() => (fresh = false));
  return () => {
    if (fresh && instance.calls > 1) return; // this call was overtaken; the component stays
    mounted.delete(parentElement);
    instance.destroy();
    wire.part(instance);
  };
}

/** The Lab's own colours in the theme of the page, which every panel follows. */
function dress(root, colours) {
  const theme = shade(root);
  for (const [name, shades] of Object.entries(colours)) root.style.setProperty(`--kd-${name}`, shades[theme]);
  root.dataset.theme = theme;
  root.style.colorScheme = theme;
  wire.dress(theme);
}
