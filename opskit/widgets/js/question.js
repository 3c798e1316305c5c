// A question to the people at a notebook: each answer is one click, and everybody sees who gave it.
import { badge, button, h } from "./dom.js";
import { nameOffer } from "./name.js";
import { whoami } from "./whoami.js";

function render({ model, el }) {
  const body = h("div", { class: "opskit-body opskit-question" });
  const offer = nameOffer();
  const root = h("section", { class: "opskit-form", "aria-label": model.get("title") },
    h("div", { class: "opskit-head" }, h("h3", {}, model.get("title"))), offer.element, body);
  // JupyterLab's shortcuts must not see what is typed here.
  for (const kind of ["keydown", "keyup", "keypress", "paste"]) root.addEventListener(kind, (event) => event.stopPropagation());
  root.dataset.lmSuppressShortcuts = "true";
  el.replaceChildren(root);
  function show() {
    const answers = model.get("answers");
    const open = answers.length < model.get("needed");
    const options = model.get("options");
    body.replaceChildren(
      ...(model.get("text") ? [h("p", { class: "opskit-hint" }, model.get("text"))] : []),
      h("ul", { class: "opskit-answers", "aria-live": "polite" }, ...answers.map((one) =>
        h("li", {}, badge(one), options.length > 1 && h("b", {}, one.choice), `${one.name} · ${one.at}`))),
      h("div", { class: "opskit-row opskit-actions" },
        ...(open ? options.map((choice, place) => {
          const one = button(choice, async () => { one.disabled = true; model.send({ type: "answer", choice, who: await whoami() }); setTimeout(() => { one.disabled = false; }, 3000); },
            options.length === 1 || place === 0 ? "opskit-primary" : "");
          return one;
        }) : []),
        h("span", { class: "opskit-hint", role: "status" },
          model.get("status") || (open && model.get("needed") > 1 ? `${answers.length} of ${model.get("needed")}` : ""))));
  }
  for (const name of ["answers", "status"]) model.on(`change:${name}`, show);
  show();
  return () => { offer.stop(); for (const name of ["answers", "status"]) model.off(`change:${name}`, show); };
}

export default { render };
