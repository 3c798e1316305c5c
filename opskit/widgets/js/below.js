// Forms that are open below a widget: the kernel says which, the widget where each belongs.
import { badge, button, h } from "./dom.js";

/** The panels of the open forms of a widget, by the place each belongs to.
 *
 * `place(panels)` puts them on the page, given pairs of a place and a panel; it is called whenever
 * they change. A panel keeps its form's view, so it may be moved. `close(form)` asks the kernel to
 * take a form away; `closed(at)` is told when one is gone that had the keyboard's focus. `memory`
 * is the tab's, and holds where somebody is to be brought: JupyterLab may make the view anew before
 * the form is there.
 */
export function formsBelow(model, memory, { place, close, closed }) {
  const panels = new Map();
  let gone = false;

  async function panelOf({ form, title, by }) {
    // Always there, as screen readers announce only changes of a region they know.
    const kept = h("span", { class: "opskit-kept", role: "status" });
    const aside = h("div", { class: "opskit-below-head" },
      h("span", { class: "opskit-by" }, badge(by), ` opened by ${by.name}`), kept, button("Close", () => close(form), "opskit-quiet"));
    const element = h("div", { class: "opskit-below", role: "group", "aria-label": title, tabindex: -1 }, aside);
    let view = null;
    try {
      const child = await model.widget_manager.get_model(form);
      view = await model.widget_manager.create_view(child);
    } catch {
      element.append(h("p", { class: "opskit-error", role: "alert" }, "This form cannot be shown. Load the page again."));
    }
    if (gone) { view?.remove(); return null; }
    if (view) element.append(view.el);
    return { element, view, kept };
  }
  async function sync() {
    const now = model.get("opened");
    let hadFocus = null;
    for (const [form, one] of panels) {
      if (now.some((open) => open.form === form)) continue;
      panels.delete(form);
      if (!one.panel) continue;
      if (one.panel.element.contains(document.activeElement)) hadFocus = one.at;
      one.panel.element.remove();
      one.panel.view?.remove();
    }
    for (const open of now) {
      if (panels.has(open.form)) continue;
      const one = { at: open.at, panel: null };
      panels.set(open.form, one);
      panelOf(open).then((panel) => {
        if (!panel) return;
        if (!panels.has(open.form)) { panel.view?.remove(); return; }
        one.panel = panel;
        show();
      });
    }
    show();
    if (hadFocus !== null) closed(hadFocus);
  }
  function show() {
    for (const { form, kept } of model.get("opened")) {
      const shown = panels.get(form)?.panel?.kept;
      if (shown && shown.textContent !== kept) shown.textContent = kept;
    }
    place([...panels.values()].filter(({ panel }) => panel).map(({ at, panel }) => [at, panel.element]));
    arrive();
  }
  function arrive() {
    const element = [...panels.values()].find((one) => one.at === memory.expected)?.panel?.element;
    // A view that JupyterLab makes anew may have an old one that was not let go yet.
    if (!element?.isConnected) return;
    memory.expected = null;
    element.scrollIntoView({ block: "nearest" });
    element.focus({ preventScroll: true });
  }

  model.on("change:opened", sync);
  sync();
  return {
    /** Bring somebody to the form of a place, now or as soon as it is there. */
    expect(at) {
      memory.expected = at;
      arrive();
    },
    stop() {
      gone = true;
      model.off("change:opened", sync);
      for (const { panel } of panels.values()) panel?.view?.remove();
    },
  };
}
