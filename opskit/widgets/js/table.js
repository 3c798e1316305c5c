// A table of all secrets: searched, filtered and sorted here; only the rows in sight are in the DOM.
import { h, labelled, state } from "./dom.js";

const ROW = 28;
const HEIGHT = 364;
const SHOWN = [
  ["server", "Server"],
  ["app", "App"],
  ["secret", "Secret"],
  ["version", "Version"],
  ["state", "State"],
  ["age_days", "Age, days"],
];

export function secretTable(rows, { onchange }, saved) {
  const { columns, rows: count } = rows;
  const text = (name, row) => columns[name].values[columns[name].codes[row]];
  const age = (row) => columns.age_days[row];
  const keyOf = (row) => JSON.stringify([text("server", row), text("app", row), text("secret", row)]);
  const lower = Array.from({ length: count }, (_, row) =>
    ["server", "app", "recipe", "secret", "state"].map((name) => text(name, row)).join(" ").toLowerCase());
  const obstacle = (row) => text("app", row) ? text("obstacle", row) : "No app declares it: nothing here can rotate it.";
  const chosen = new Set(saved?.chosen);
  let order = [];
  let sorted = saved?.sorted ?? { by: "age_days", down: true };

  const search = h("input", { type: "search", class: "opskit-input", placeholder: "server, app, secret …" });
  const pick = (name, title) => {
    const options = [...columns[name].values].filter(Boolean).sort();
    return h("select", { class: "opskit-input", "aria-label": title }, h("option", { value: "" }, `any ${title.toLowerCase()}`), ...options.map((one) => h("option", { value: one }, one)));
  };
  const filters = { server: pick("server", "Server"), recipe: pick("recipe", "Recipe"), state: pick("state", "State") };
  const older = h("input", { type: "number", min: 0, class: "opskit-input opskit-short", placeholder: "0" });
  const found = h("span", { class: "opskit-hint", "aria-live": "polite" });
  const all = h("input", { type: "checkbox", "aria-label": "Select all rows shown", onchange: () => {
    for (const row of order) if (!obstacle(row)) chosen[all.checked ? "add" : "delete"](keyOf(row));
    draw(); changed();
  } });
  const heads = SHOWN.map(([name, title]) => {
    const head = h("div", { role: "columnheader", class: `opskit-c-${name}` }, h("button", { type: "button", class: "opskit-sort", onclick: () => {
      sorted = { by: name, down: sorted.by === name ? !sorted.down : name === "age_days" };
      arrange();
    } }, title));
    head.dataset.name = name;
    return head;
  });
  const space = h("div", { class: "opskit-space", role: "rowgroup" });
  // The head scrolls with the rows and sticks: its columns are theirs, scrollbar or not.
  const grid = h("div", { role: "table", class: "opskit-grid", "aria-label": "Secrets", tabindex: 0, style: `height:${HEIGHT}px`, onscroll: draw },
    h("div", { role: "row", class: "opskit-tr opskit-th" }, h("div", { role: "columnheader" }, all), ...heads), space);

  function compare(a, b) {
    if (sorted.by === "age_days") return (age(a) ?? -1) - (age(b) ?? -1);
    return text(sorted.by, a).localeCompare(text(sorted.by, b), undefined, { numeric: true });
  }
  function arrange() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const least = Number(older.value) || 0;
    order = [];
    for (let row = 0; row < count; row++) {
      if (words.every((word) => lower[row].includes(word)) &&
          Object.entries(filters).every(([name, one]) => !one.value || text(name, row) === one.value) &&
          (!least || (age(row) ?? -1) >= least)) order.push(row);
    }
    order.sort((a, b) => (sorted.down ? compare(b, a) : compare(a, b)));
    for (const head of heads) head.setAttribute("aria-sort", head.dataset.name === sorted.by ? (sorted.down ? "descending" : "ascending") : "none");
    space.style.height = `${order.length * ROW}px`;
    grid.setAttribute("aria-rowcount", order.length);
    found.textContent = `${order.length.toLocaleString()} of ${count.toLocaleString()} versions`;
    grid.scrollTop = 0;
    draw();
    mark();
  }
  function draw() {
    const first = Math.max(0, Math.floor(grid.scrollTop / ROW) - 3);
    const last = Math.min(order.length, first + Math.ceil(HEIGHT / ROW) + 6);
    // Rows that stay are left alone: one of them may have the keyboard's focus.
    const before = new Map([...space.children].map((one) => [one.dataset.key, one]));
    const after = order.slice(first, last).map((row, place) => {
      const key = `${first + place} ${row} ${chosen.has(keyOf(row))}`;
      const one = before.get(key) ?? line(row, first + place);
      one.dataset.key = key;
      return one;
    });
    const stays = new Set(after);
    for (const one of before.values()) if (!stays.has(one)) one.remove();
    after.forEach((one, place) => { if (space.children[place] !== one) space.insertBefore(one, space.children[place] ?? null); });
  }
  function line(row, place) {
    const key = keyOf(row);
    const name = `${text("app", row)} ${text("secret", row)} ${text("version", row)}`;
    const box = h("input", { type: "checkbox", "aria-label": `Select ${name}`, checked: chosen.has(key), disabled: Boolean(obstacle(row)), title: obstacle(row) || false, onchange: () => {
      chosen[box.checked ? "add" : "delete"](key);
      draw(); changed();
      space.querySelector(`[data-place="${place}"] input`)?.focus();
    } });
    const cell = (column) => {
      const value = column === "age_days" ? (age(row) === null ? "" : age(row).toFixed(0)) : text(column, row);
      return h("div", { role: "cell", class: `opskit-c-${column}`, title: value || false }, column === "state" ? state(value) : value);
    };
    const element = h("div", { role: "row", class: "opskit-tr", "aria-rowindex": place + 1, "data-place": place, style: `top:${place * ROW}px` },
      h("div", { role: "cell" }, box), ...SHOWN.map(([column]) => cell(column)));
    if (chosen.has(key)) element.classList.add("opskit-on");
    return element;
  }
  function mark() {
    const able = order.filter((row) => !obstacle(row));
    all.checked = able.length > 0 && able.every((row) => chosen.has(keyOf(row)));
  }
  function changed() {
    mark();
    onchange(chosen.size);
  }
  for (const one of [search, older, ...Object.values(filters)]) one.addEventListener("input", arrange);
  const element = h("div", {},
    h("div", { class: "opskit-row opskit-filters" }, labelled("Search", search), ...Object.values(filters), labelled("Older than, days", older), found),
    grid);
  const fields = [search, older, ...Object.values(filters)];
  fields.forEach((one, place) => { if (saved) one.value = saved.fields[place]; });
  arrange();
  if (chosen.size) changed();
  return {
    element,
    chosen: () => [...chosen].map((key) => JSON.parse(key)),
    saved: () => ({ chosen: [...chosen], sorted, fields: fields.map((one) => one.value) }),
  };
}
