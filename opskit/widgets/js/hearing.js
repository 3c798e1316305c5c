// Whether the kernel answers: it may be busy with a cell, or be another one than the form's.
import { h } from "./dom.js";
import { tab } from "./seal.js";

const PATIENCE_MS = 2500;
const UNANSWERED = "The kernel does not answer. It may be busy with a cell; if it was restarted, run this cell again.";

/** Tell the kernel something; that it is silent is shown until it is `heard` again.
 *
 * A click that does nothing, or takes long, has no answer of its own: each is followed by a `ping`.
 */
export function hearing(model) {
  const silence = h("p", { class: "opskit-unfinished", role: "alert", hidden: true }, UNANSWERED);
  let waiting = 0;
  const forget = () => clearTimeout(waiting);
  function tell(...messages) {
    forget();
    waiting = setTimeout(() => { silence.hidden = false; }, PATIENCE_MS);
    // A widget that lost its kernel throws.
    try { for (const one of [...messages, { type: "ping", tab }]) model.send(one); } catch { silence.hidden = false; }
  }
  return {
    silence,
    forget,
    heard() {
      forget();
      silence.hidden = true;
    },
    tell,
    ping: () => tell(),
  };
}
