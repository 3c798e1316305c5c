// A table of all secrets: searched, filtered and sorted here; only the rows in sight are in the DOM.
import { h, state } from "./dom.js";
import { filterBar } from "./filter.js";

const ROW = 28;
const TWOFOLD = 46;
/** Pixels; in less a row takes two lines. */
const NARROW = 640;
const HEIGHT = 364;
const SHOWN = [
  ["server", "Server"],
  ["app", "App"],
  ["secret", "Secret"],
  ["version", "Version"],
  ["state", "State"],
  ["age_days", "Days"],
  ["used_by", "Used by"],
];

/** `why` says what the row's secret cannot have done to it; `onchange` is called as the choice changes. */
export function secretTable(now, rows, { why, onchange, onfilter, match }, saved) {
  let { columns, ids, rows: count } = rows;
  let lower = [];
  const rowOf = new Map();
  const text = (name, row) => columns[name].values[columns[name].codes[row]];
  const age = (row) => columns.age_days[row];
  // A version that no app declares stands for itself, under its whole name.
  const keyOf = (row) => JSON.stringify(text("orphan", row) ? [text("server", row), "", text("orphan", row)] : [text("server", row), text("app", row), text("secret", row)]);
  const chosen = new Set(saved?.chosen);
  function read() {
    lower = Array.from({ length: count }, (_, row) =>
      ["server", "app", "recipe", "secret", "state", "used_by"].map((name) => text(name, row)).join(" ").toLowerCase());
    rowOf.clear();
    for (let row = count - 1; row >= 0; row--) rowOf.set(keyOf(row), row);
    for (const key of chosen) if (!rowOf.has(key)) chosen.delete(key);
  }
  read();
  let order = [];
  let sorted = saved?.sorted ?? { by: "age_days", down: true };
  let onlyChosen = saved?.onlyChosen ?? false;
  let tall = ROW;

  const values = (name) => [...columns[name].values].filter(Boolean).sort();
  const choices = () => ({ server: values("server"), recipe: values("recipe"), state: values("state") });
  const filter = filterBar(now, choices(), { onchange: arrange, onfilter, match }, saved?.filter);
  const found = h("span", { class: "opskit-hint", "aria-live": "polite" });
  const all = h("input", { type: "checkbox", "aria-label": "Select all rows shown", onchange: () => {
    for (const row of order) if (!why(row, keyOf(row))) chosen[all.checked ? "add" : "delete"](keyOf(row));
    changed();
  } });
  const heads = SHOWN.map(([name, title]) => {
    const head = h("div", { role: "columnheader", class: `opskit-c-${name}` }, h("button", { type: "button", class: "opskit-sort", title: name === "age_days" ? "Age in days" : false, onclick: () => {
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

  // Measured while it is drawn: what the kernel says is the same for wide and narrow windows.
  new ResizeObserver(() => {
    const wanted = grid.clientWidth && grid.clientWidth < NARROW ? TWOFOLD : ROW;
    if (wanted === tall) return;
    tall = wanted;
    grid.classList.toggle("opskit-twofold", tall === TWOFOLD);
    space.style.height = `${order.length * tall}px`;
    draw();
  }).observe(grid);

  function compare(a, b) {
    if (sorted.by === "age_days") return (age(a) ?? -1) - (age(b) ?? -1);
    return text(sorted.by, a).localeCompare(text(sorted.by, b), undefined, { numeric: true });
  }
  /** With `stays` as far down as it was, else from the top. */
  function arrange({ stays = false } = {}) {
    const top = stays ? grid.scrollTop : 0;
    sift();
    grid.scrollTop = top;
    changed();
  }
  function sift() {
    const { words, exactly, least, matches } = filter.wanted();
    order = [];
    for (let row = 0; row < count; row++) {
      if (words.every((word) => lower[row].includes(word)) &&
          exactly.every(([name, value]) => text(name, row) === value) &&
          (!least || (age(row) ?? -1) >= least) && (!matches || matches.has(ids[row])) &&
          (!onlyChosen || chosen.has(keyOf(row)))) order.push(row);
    }
    order.sort((a, b) => (sorted.down ? compare(b, a) : compare(a, b)));
    for (const head of heads) head.setAttribute("aria-sort", head.dataset.name === sorted.by ? (sorted.down ? "descending" : "ascending") : "none");
    space.style.height = `${order.length * tall}px`;
    grid.setAttribute("aria-rowcount", order.length);
    found.textContent = `${order.length.toLocaleString()} of ${count.toLocaleString()} versions`;
  }
  function draw() {
    const first = Math.max(0, Math.floor(grid.scrollTop / tall) - 3);
    const last = Math.min(order.length, first + Math.ceil(HEIGHT / tall) + 6);
    // Rows that stay are left alone: one of them may have the keyboard's focus.
    const before = new Map([...space.children].map((one) => [one.dataset.key, one]));
    const focused = space.contains(document.activeElement) && document.activeElement.closest("[role=row]").dataset.id;
    const after = order.slice(first, last).map((row, place) => {
      const key = JSON.stringify([tall, first + place, ids[row], chosen.has(keyOf(row)), why(row, keyOf(row)), ...SHOWN.map(([name]) => shown(name, row))]);
      const one = before.get(key) ?? line(row, first + place);
      one.dataset.key = key;
      return one;
    });
    const stays = new Set(after);
    for (const one of before.values()) if (!stays.has(one)) one.remove();
    after.forEach((one, place) => { if (space.children[place] !== one) space.insertBefore(one, space.children[place] ?? null); });
    // Of a row that was drawn anew.
    if (focused && !space.contains(document.activeElement)) space.querySelector(`[data-id="${focused}"] input`)?.focus({ preventScroll: true });
  }
  const shown = (name, row) => (name === "age_days" ? (age(row)?.toFixed(0) ?? "") : text(name, row));
  function line(row, place) {
    const key = keyOf(row);
    const reason = why(row, key);
    const isChosen = chosen.has(key);
    const name = `${text("app", row)} ${text("secret", row)} ${text("version", row)}`;
    // What is chosen already can always be let go.
    const box = h("input", { type: "checkbox", "aria-label": `Select ${name}`, checked: isChosen, disabled: Boolean(reason) && !isChosen, title: reason || false, onchange: () => {
      chosen[box.checked ? "add" : "delete"](key);
      changed();
    } });
    const cell = (column) => {
      if (column === "used_by" && reason) {
        const used = text(column, row);
        return h("div", { role: "cell", class: "opskit-c-used_by opskit-why", title: used ? `${reason} Used by ${used}.` : reason }, reason);
      }
      const value = shown(column, row);
      return h("div", { role: "cell", class: `opskit-c-${column}`, title: value || false }, column === "state" ? state(value) : value);
    };
    const element = h("div", { role: "row", class: "opskit-tr", "aria-rowindex": place + 1, "data-place": place, "data-id": ids[row], style: `top:${place * tall}px` },
      h("div", { role: "cell" }, box), ...SHOWN.map(([column]) => cell(column)));
    if (isChosen) element.classList.add(reason ? "opskit-refused" : "opskit-on");
    else if (reason) element.classList.add("opskit-unable");
    return element;
  }
  /** How much is chosen, how much of that is out of sight, and what would be refused, by why. */
  function counted() {
    const seen = new Set(order.map(keyOf));
    const keys = [...chosen];
    const reasons = new Map();
    for (const reason of keys.map((key) => why(rowOf.get(key), key)).filter(Boolean)) reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
    return { selected: keys.length, hidden: keys.filter((key) => !seen.has(key)).length, reasons };
  }
  function changed() {
    if (onlyChosen && !chosen.size) {
      onlyChosen = false;
      return arrange();
    }
    draw();
    const able = order.filter((row) => !why(row, keyOf(row)));
    all.checked = able.length > 0 && able.every((row) => chosen.has(keyOf(row)));
    onchange(counted());
  }
  const element = h("div", {}, filter.element, grid);
  return {
    element,
    found,
    arrange,
    /** Shows other rows, as a watch told of them; what is chosen and still there stays chosen. */
    replace(next) {
      ({ columns, ids, rows: count } = next);
      read();
      filter.offer(choices());
      arrange({ stays: true });
    },
    update: filter.update,
    matched: filter.matched,
    redraw: changed,
    clear() { chosen.clear(); onlyChosen = false; arrange(); },
    leaveOut() { for (const key of [...chosen]) if (why(rowOf.get(key), key)) chosen.delete(key); arrange(); },
    showChosen(only) { onlyChosen = only; arrange(); },
    isOnlyChosen: () => onlyChosen,
    chosen: () => [...chosen].map((key) => JSON.parse(key)),
    wish: () => {
      const [row] = [...chosen].map((key) => rowOf.get(key));
      return row === undefined ? {} : { length: Number(text("length", row)) || null, charset: text("charset", row) };
    },
    saved: () => ({ chosen: [...chosen], sorted, onlyChosen, filter: filter.saved() }),
  };
}
