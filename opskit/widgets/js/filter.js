// What narrows a table of secrets: words, choices, a condition that the kernel reads, and saved ones.
import { button, h, labelled, uid } from "./dom.js";

const PAUSE_MS = 400;
const NAMES = ["search", "server", "recipe", "state", "older", "condition"];

const options = (name, values) => [h("option", { value: "" }, `any ${name}`), ...values.map((one) => h("option", { value: one }, one))];

/** `choices` are the values of each column that can be chosen; `match` asks the kernel for the rows
 * of a condition, `onfilter` to keep or forget a filter; `onchange` is called as other rows match. */
export function filterBar(now, choices, { onchange, onfilter, match }, saved) {
  const pick = (name, title) => h("select", { class: "opskit-input", "aria-label": title }, ...options(name, choices[name]));
  const fault = h("p", { class: "opskit-error", role: "alert", hidden: true });
  const fields = {
    search: h("input", { type: "search", class: "opskit-input", placeholder: "server, app, secret, service …" }),
    server: pick("server", "Server"),
    recipe: pick("recipe", "Recipe"),
    state: pick("state", "State"),
    older: h("input", { type: "number", min: 0, class: "opskit-input opskit-short", placeholder: "0" }),
    condition: h("input", { type: "text", class: "opskit-input opskit-condition", placeholder: "age_days > 90 and used_by.str.len() == 0", spellcheck: "false", autocomplete: "off", autocapitalize: "off" }),
  };
  const known = h("select", { class: "opskit-input", "aria-label": "Saved filters" });
  const name = h("input", { type: "text", class: "opskit-input", maxlength: 60, placeholder: "such as: old and unused", autocomplete: "off" });
  const keep = button("Save filter…", () => { naming.hidden = !naming.hidden; keep.setAttribute("aria-expanded", String(!naming.hidden)); name.value = known.value; if (!naming.hidden) name.focus(); }, "opskit-quiet");
  keep.setAttribute("aria-expanded", "false");
  const forget = button("Delete", () => { onfilter("delete-filter", { name: known.value }); known.value = ""; forget.hidden = true; }, "opskit-quiet");
  const save = button("Save", () => {
    if (!name.value.trim()) return name.focus();
    wish = name.value.trim();
    onfilter("save-filter", { name: wish, filter: Object.fromEntries(NAMES.map((one) => [one, fields[one].value])) });
    naming.hidden = true;
    keep.setAttribute("aria-expanded", "false");
    keep.focus();
  });
  const naming = h("div", { class: "opskit-row opskit-naming", hidden: true }, labelled("Name of this filter", name), save);
  name.addEventListener("keydown", (event) => { if (event.key === "Enter") save.click(); });
  let filters = {};
  let wish = saved?.known ?? "";
  // Rows that match the condition; nothing while there is none.
  let matches = null;
  let pause = 0;
  // Whether what is asked is whether other rows match what was asked before.
  let isAgain = false;

  /** Other choices; one that is made stays, though nothing has that value any more. */
  function offer(other) {
    for (const [name, values] of Object.entries(other)) {
      const field = fields[name];
      const before = field.value;
      const all = before && !values.includes(before) ? [...values, before].sort() : values;
      if (JSON.stringify(all) === JSON.stringify([...field.options].slice(1).map((one) => one.value))) continue;
      field.replaceChildren(...options(name, all));
      field.value = before;
    }
    if (!fields.condition.value.trim()) return;
    ask({ again: true });
  }
  function update({ filters: all }) {
    if (JSON.stringify(all) === JSON.stringify(filters) && known.childElementCount) return;
    filters = all;
    const before = wish || known.value;
    known.replaceChildren(h("option", { value: "" }, Object.keys(all).length ? "Saved filters" : "No saved filters"), ...Object.keys(all).map((one) => h("option", { value: one }, one)));
    known.value = before in all ? before : "";
    known.disabled = !Object.keys(all).length;
    forget.hidden = !known.value;
    if (before in all) wish = "";
  }
  function ask({ again = false } = {}) {
    clearTimeout(pause);
    isAgain = again;
    const words = fields.condition.value.trim();
    if (words) return match(words);
    matches = null;
    fault.hidden = true;
    onchange();
  }
  /** The kernel's answer; one to a condition that was changed meanwhile is of no use. */
  function matched({ condition, rows, error }) {
    if (condition !== fields.condition.value.trim()) return;
    fault.textContent = error;
    fault.hidden = !error;
    fields.condition.setAttribute("aria-invalid", String(Boolean(error)));
    // What cannot be read must not look as if everything matched.
    matches = new Set(rows);
    onchange({ stays: isAgain });
  }
  function changed() {
    known.value = "";
    forget.hidden = true;
    onchange();
  }
  known.addEventListener("change", () => {
    forget.hidden = !known.value;
    for (const one of NAMES) fields[one].value = filters[known.value]?.[one] ?? "";
    onchange();
    ask();
  });
  for (const one of NAMES) if (one !== "condition") fields[one].addEventListener("input", changed);
  fields.condition.addEventListener("input", () => { clearTimeout(pause); known.value = ""; forget.hidden = true; pause = setTimeout(() => ask(), PAUSE_MS); });
  fields.condition.addEventListener("change", () => ask());
  for (const one of NAMES) fields[one].value = saved?.fields[one] ?? "";
  if (!saved) fields.condition.value = now.where;
  fault.id = uid();
  fields.condition.setAttribute("aria-describedby", fault.id);
  update(now);
  if (fields.condition.value.trim()) ask();
  const grown = (field) => { field.classList.add("opskit-grows"); return field; };
  return {
    element: h("div", { class: "opskit-filterbar" },
      h("div", { class: "opskit-row opskit-filters" }, grown(labelled("Search", fields.search)), fields.server, fields.recipe, fields.state, labelled("Older than, days", fields.older)),
      h("div", { class: "opskit-row opskit-filters" }, grown(labelled("Condition", fields.condition)), known, keep, forget),
      fault, naming),
    update,
    offer,
    matched,
    wanted: () => ({
      words: fields.search.value.toLowerCase().split(/\s+/).filter(Boolean),
      exactly: ["server", "recipe", "state"].map((one) => [one, fields[one].value]).filter(([, value]) => value),
      least: Number(fields.older.value) || 0,
      matches: fields.condition.value.trim() ? matches ?? new Set() : null,
    }),
    saved: () => ({ fields: Object.fromEntries(NAMES.map((one) => [one, fields[one].value])), known: known.value }),
  };
}
