// What Streamlit mounts: one instance per place on the page, kept over reruns.

import { Panels } from "./panels.js";
import { shade } from "./shade.js";
import { Transport } from "./transport.js";
import { wire } from "./wire.js";

const KINDS = { transport: Transport, panels: Panels };
const mounted = new WeakMap(); // the element Streamlit gives us -> what lives in it

/**
 * Called at each change of data or theme. Streamlit calls the answer to the last call when the component leaves the page,
 * and that to a call which another overtook while its script was loaded as soon as it has it.
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
  const call = (instance.calls = (instance.calls ?? 0) + 1);
  return () => {
    if (call < instance.calls) return; // it was overtaken; the component stays
    mounted.delete(parentElement);
    instance.destroy();
    instance.root.remove(); // the call that overtook this one may come yet, and bring another
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
