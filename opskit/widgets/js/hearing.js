// Whether the kernel answers: it may be busy with a cell, or be another one than the form's.
import { h } from "./dom.js";

const PATIENCE_MS = 2500;
const UNANSWERED = "The kernel does not answer. It may be busy with a cell; if it was restarted, run this form's cell again.";

/** Tell the kernel something; what it says of its `silence` is shown until it is `heard` again. */
export function hearing(model) {
  const silence = h("p", { class: "opskit-unfinished", role: "alert", hidden: true }, UNANSWERED);
  let waiting = 0;
  const forget = () => clearTimeout(waiting);
  return {
    silence,
    forget,
    heard() {
      forget();
      silence.hidden = true;
    },
    tell(message) {
      forget();
      waiting = setTimeout(() => { silence.hidden = false; }, PATIENCE_MS);
      // A widget that lost its kernel throws.
      try { model.send(message); } catch { silence.hidden = false; }
    },
  };
}
