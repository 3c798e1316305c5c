// Browsing all secrets: what is chosen of the table, and what is to be done with it.
import { optionFields } from "./choose.js";
import { button, h, list, uid } from "./dom.js";
import { secretField } from "./field.js";
import { secretTable } from "./table.js";

/** `rows` are the kernel's; `send` tells it something, `match` asks it for a condition's rows, `key`
 * gives its key to seal to; `draft` is what another view's secret field had. */
export function browseView(now, rows, { send, match, key, draft, dismiss, reread }, saved) {
  const { form } = now;
  let { alphabets } = now;
  const names = Object.keys(form.verbs);
  let verb = saved?.verb ?? names[0];
  let refused = new Map();
  let counts = { selected: 0, hidden: 0, reasons: new Map() };
  const fieldsOf = {};
  const doing = () => form.verbs[verb];
  const fields = () => (fieldsOf[verb] ??= optionFields(doing(), saved?.fields[verb], now));
  const secret = secretField({ purpose: "insert", draft, wish: () => {
    const { length, charset } = table.wish();
    return { length, alphabet: alphabets[charset ?? ""] };
  } });

  const obstacle = (row) => { const { values, codes } = rows.obstacles[verb]; return values[codes[row]]; };
  const go = button("", plan, "opskit-primary");
  const out = button("", () => { table.leaveOut(); dismiss(); });
  const sum = h("span", { class: "opskit-sum", role: "status" });
  const only = button("", () => { table.showChosen(!table.isOnlyChosen()); told(counts); }, "opskit-quiet");
  const none = button("Clear", () => { table.clear(); dismiss(); }, "opskit-quiet");
  const note = h("span", { class: "opskit-hint", "aria-live": "polite" });
  const refusal = h("div", { class: "opskit-caution", role: "status", hidden: true });
  const area = h("div");
  /** Other rows, as a watch told of them. */
  function replace(next) {
    rows = next;
    table.replace(next);
  }
  const table = secretTable(now, rows, {
    why: (row, what) => obstacle(row) || refused.get(what) || "",
    onchange: told,
    onfilter: send,
    match,
  }, saved?.table);

  function told(what) {
    counts = what;
    const { selected, hidden, reasons } = counts;
    const unable = [...reasons.values()].reduce((sum, count) => sum + count, 0);
    sum.textContent = selected ? `${selected} selected${hidden ? `, ${hidden === selected ? "all" : hidden} of them hidden` : ""}` : "Nothing selected";
    only.hidden = none.hidden = !selected;
    only.textContent = table?.isOnlyChosen() ? "Show all" : "Show selected";
    out.hidden = !unable;
    out.textContent = `Leave out ${unable}`;
    go.textContent = selected ? `${doing().verb} ${selected}…` : doing().label;
    const single = Boolean(doing().fields.value);
    go.disabled = !selected || unable > 0 || (single && selected > 1);
    refusal.replaceChildren(...(unable ? [h("p", {}, `${unable} of ${selected} would be refused:`), list([...reasons].map(([reason, count]) => `${count}: ${reason}`))] : []));
    refusal.hidden = !unable;
    note.textContent = single && selected > 1 ? "One value is for one secret: select a single one." : "";
  }
  function turn() {
    area.replaceChildren(...[doing().fields.value && secret.element, fields().element].filter(Boolean));
    table.redraw();
  }
  async function plan() {
    const takes = Boolean(doing().fields.value);
    if (takes && secret.problem) { note.textContent = "A value cannot be given on this page; see above."; return; }
    if (takes && secret.isEmpty()) { note.textContent = "Give the value first."; secret.focus(); return; }
    go.disabled = true;
    try {
      const sealed = takes ? await secret.take(key()) : null;
      await send("plan", { verb, rows: table.chosen(), options: fields().options(), keep: fields().keep(), sealed });
    } catch (error) {
      note.textContent = error.message;
      go.disabled = false;
    }
  }
  function update(state) {
    ({ alphabets } = state);
    refused = new Map(state.refused.map(([server, app, name, why]) => [JSON.stringify([server, app, name]), why]));
    table.update(state);
    table.redraw();
  }
  const saving = () => ({ verb, table: table.saved(), fields: { ...saved?.fields, ...Object.fromEntries(Object.entries(fieldsOf).map(([name, one]) => [name, one.saved()])) } });
  const group = uid();
  const verbs = h("fieldset", { class: "opskit-verbs", onchange: (event) => { verb = event.target.value; dismiss(); turn(); } },
    h("legend", {}, "What to do with them"),
    ...names.map((name) => h("label", { class: "opskit-verb" }, h("input", { type: "radio", name: group, value: name, checked: name === verb }), form.verbs[name].verb)));
  table.element.addEventListener("change", dismiss);
  table.arrange();
  turn();
  update(now);
  return {
    element: h("div", {}, table.element,
      h("div", { class: "opskit-row opskit-chosen" }, sum, only, none, table.found),
      verbs, area, refusal,
      h("div", { class: "opskit-row opskit-actions" }, go, out, reread, note)),
    update,
    replace,
    matched: table.matched,
    saved: saving,
    /** What stays for another go: how to look, and nothing that was chosen. */
    again: () => ({ ...saving(), table: { ...table.saved(), chosen: [], onlyChosen: false } }),
  };
}
