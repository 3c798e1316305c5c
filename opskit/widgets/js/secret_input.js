// A secret field by itself: seals what it is given to the kernel, and says from whom it came.
import { button, h } from "./dom.js";
import { secretField } from "./field.js";
import { tab } from "./seal.js";
import { whoami } from "./whoami.js";

function render({ model, el }, draft) {
  const field = secretField({ purpose: "input", draft });
  const note = h("span", { class: "opskit-hint", role: "status" });
  const send = button("Hand over", async () => {
    if (field.isEmpty()) { field.focus(); return; }
    const sealed = await field.take(model.get("key"));
    model.send({ type: "sealed", tab, who: await whoami(), sealed });
  }, "opskit-primary");
  send.disabled = Boolean(field.problem);
  const root = h("section", { class: "opskit-form", "aria-label": model.get("label") },
    h("div", { class: "opskit-head" }, h("h3", {}, model.get("label"))), field.element,
    h("div", { class: "opskit-row opskit-actions" }, send, note));
  for (const kind of ["keydown", "keyup", "keypress", "paste"]) root.addEventListener(kind, (event) => event.stopPropagation());
  root.dataset.lmSuppressShortcuts = "true";
  el.replaceChildren(root);
  const show = () => { note.textContent = model.get("status"); };
  model.on("change:status", show);
  show();
  return () => model.off("change:status", show);
}

// Called once for each field, however many views it gets: what is typed outlives a view.
export default () => {
  const draft = {};
  return { render: (view) => render(view, draft) };
};
