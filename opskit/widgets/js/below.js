// Forms that are open below a widget: the kernel says which, the widget where each belongs.
import { badge, button, h } from "./dom.js";

/** The panels of the open forms of a widget, by the place each belongs to.
 *
 * `place(panels)` puts them on the page, given pairs of a place and a panel; it is called whenever
 * they change. A panel keeps its form's view, so it may be moved. `close(form)` asks the kernel to
 * take a form away; `closed(at)` is told when one is gone that had the keyboard's focus.
 */
export function formsBelow(model, { place, close, closed }) {
  const panels = new Map();
  let expected = null;
  let gone = false;

  async function panelOf({ form, title, by }) {
    const aside = h("div", { class: "opskit-below-head" },
      h("span", { class: "opskit-by" }, badge(by), ` opened by ${by.name}`), button("Close", () => close(form), "opskit-quiet"));
    const element = h("div", { class: "opskit-below", role: "group", "aria-label": title, tabindex: -1 }, aside);
    const child = await model.widget_manager.get_model(form);
    const view = await model.widget_manager.create_view(child);
    if (gone) { view.remove(); return null; }
    element.append(view.el);
    return { element, view };
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
      one.panel.view.remove();
    }
    for (const open of now) {
      if (panels.has(open.form)) continue;
      const one = { at: open.at, panel: null };
      panels.set(open.form, one);
      panelOf(open).then((panel) => {
        if (!panel) return;
        if (!panels.has(open.form)) { panel.view.remove(); return; }
        one.panel = panel;
        show();
        if (expected === open.at) focus(open.at);
      });
    }
    show();
    if (hadFocus !== null) closed(hadFocus);
  }
  const show = () => place([...panels.values()].filter(({ panel }) => panel).map(({ at, panel }) => [at, panel.element]));
  function focus(at) {
    const found = [...panels.values()].find((one) => one.at === at && one.panel);
    if (!found) return false;
    expected = null;
    found.panel.element.scrollIntoView({ block: "nearest" });
    found.panel.element.focus({ preventScroll: true });
    return true;
  }

  model.on("change:opened", sync);
  sync();
  return {
    /** Bring somebody to the form of a place, now or as soon as it is there. */
    expect(at) { if (!focus(at)) expected = at; },
    isOpen: (at) => [...panels.values()].some((one) => one.at === at),
    show,
    stop() {
      gone = true;
      model.off("change:opened", sync);
      for (const { panel } of panels.values()) panel?.view.remove();
    },
  };
}
