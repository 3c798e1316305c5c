// Offers somebody whose name the server made up to give one, once: journals keep it.
import { button, h, labelled } from "./dom.js";
import { rename, whoami } from "./whoami.js";

const LATER = "opskit:no-name";
const NAMED = "opskit:named";

/** A row that is there only for who has no name yet. */
export function nameOffer() {
  const row = h("form", { class: "opskit-row opskit-name", hidden: true });
  const typed = h("input", { type: "text", class: "opskit-input", autocomplete: "name", maxlength: 60, placeholder: "Kim" });
  const done = () => { row.hidden = true; };
  const keep = h("button", { type: "submit", class: "opskit-button" }, "Keep it");
  row.append(labelled("Your name", typed, "For the journal and for your colleagues."), keep,
    button("Not now", () => { sessionStorage.setItem(LATER, "yes"); window.dispatchEvent(new Event(NAMED)); }, "opskit-quiet"));
  row.addEventListener("submit", async (event) => {
    event.preventDefault();
    const name = typed.value.trim();
    if (!name) return typed.focus();
    keep.disabled = true;
    await rename(name);
    window.dispatchEvent(new Event(NAMED));
  });
  window.addEventListener(NAMED, done);
  whoami().then((who) => { row.hidden = !who?.made_up || !!sessionStorage.getItem(LATER); });
  return { element: row, stop: () => window.removeEventListener(NAMED, done) };
}
