// A plan as it will be applied, its approvals and its confirmation.
import { badge, button, h, labelled, list } from "./dom.js";

const CHANGES = [["server", "Server"], ["app", "App"], ["secret", "Secret"], ["from", "From"], ["to", "To"], ["restarts", "Restarts"], ["removes", "Removes"], ["bits", "Bits"], ["undone_by", "Undone by"]];
const PARTS = [["app", "App"], ["service", "Service"], ["what", "What"], ["before", "Before"], ["after", "After"]];
const CALLS = [["app", "App"], ["step", "Step"], ["action", "Action"], ["call", "Call"]];

const ENDS = ["before", "after"];
/** Whether of a part only names are shown, which then have the room of what it was and will be. */
const isNamed = (row) => row.before === "" && row.after === "";

/** What stands under a change: its note, and in a narrow window what then has no column. */
function folded(row) {
  const rest = [row.server && `on ${row.server}`, row.bits && `${Math.round(row.bits)} bits`, row.undone_by && `undo: ${row.undone_by}`].filter(Boolean).join(", ");
  return [row.note && h("div", {}, row.note), rest && h("div", { class: "opskit-narrow" }, rest)].filter(Boolean);
}

/** A table of the columns that say something; `below` gives what stands under a row, over all of it. */
function table(columns, rows, label, below = () => []) {
  const used = columns.filter(([name]) => rows.some((row) => row[name] !== "" && row[name] !== null));
  return h("div", { class: "opskit-tablebox", tabindex: 0, role: "region", "aria-label": label },
    h("table", { class: "opskit-table" },
      h("thead", {}, h("tr", {}, ...used.map(([name, title]) => h("th", { scope: "col", class: `opskit-p-${name}` }, title)))),
      h("tbody", {}, ...rows.flatMap((row) => {
        const more = below(row);
        return [
          h("tr", { class: more.length ? "opskit-has-more" : "" }, ...used.filter(([name]) => !(isNamed(row) && ENDS.includes(name))).map(([name]) => {
            const value = row[name];
            const colspan = isNamed(row) && name === "what" ? 1 + used.filter(([one]) => ENDS.includes(one)).length : false;
            return h("td", { class: `opskit-p-${name}`, colspan }, typeof value === "number" ? String(Math.round(value)) : String(value ?? ""));
          })),
          ...(more.length ? [h("tr", { class: `opskit-more ${row.note ? "" : "opskit-narrow"}` }, h("td", { colspan: used.length }, more))] : []),
        ];
      }))));
}

const titled = (title, ...content) => h("section", { class: "opskit-part" }, h("h4", {}, title), ...content);

/** `confirms` keeps, by plan, what somebody typed to confirm it. */
export function planView(now, confirms, { apply, approve, leave, back }) {
  const { plan, needed, approvals } = now;
  const word = plan.confirm;
  const typed = h("input", { type: "text", class: "opskit-input", autocomplete: "off", spellcheck: "false" });
  const enough = () => approvals.length >= needed;
  const go = button(now.apply ?? "Apply", () => apply(plan.digest, typed.value), word ? "opskit-danger" : "opskit-primary");
  const agree = button("Approve", () => approve(plan.digest, typed.value, say));
  const check = () => {
    agree.disabled = word && typed.value !== word;
    go.disabled = agree.disabled || !enough();
  };
  const note = h("span", { class: "opskit-hint", "aria-live": "polite" });
  const say = (words) => { note.textContent = words; };
  const apps = new Set(plan.changes.map((row) => `${row.server}\n${row.app}`));
  const parts = apps.size > 1 ? PARTS : PARTS.slice(1);
  typed.value = confirms[plan.digest] ?? "";
  typed.addEventListener("input", () => { confirms[plan.digest] = typed.value; check(); });
  check();
  return h("div", { class: "opskit-plan" },
    table(CHANGES, plan.changes, "Changes", folded),
    plan.parts.length > 0 && titled("What changes in it", table(parts, plan.parts, "What changes in it")),
    plan.left_alone.length > 0 && titled("Stays as it is", list(plan.left_alone)),
    plan.warnings.length > 0 && h("p", { class: "opskit-warning" }, plan.warnings.join(" ")),
    plan.lasting.length > 0 && h("p", { class: "opskit-caution" }, plan.lasting.join(" ")),
    h("p", { class: "opskit-impact", title: plan.restarts.join(", ") || false }, plan.impact.join(" ")),
    plan.reading.length > 0 && titled("To be read before", h("ul", { class: "opskit-reading", tabindex: 0, "aria-label": "To be read before" }, ...plan.reading.map((one) => h("li", {}, one)))),
    h("details", {}, h("summary", {}, `Every call it will make (${plan.calls.length})`), table(CALLS, plan.calls, "Calls")),
    needed > 0 && h("p", { class: "opskit-approvals", "aria-live": "polite" },
      `Approved by ${approvals.length} of ${needed}: `, ...approvals.flatMap((person) => [badge(person), ` ${person.name} `]),
      approvals.length ? "" : "nobody yet"),
    word && labelled(`Type ${word} to confirm`, typed),
    h("div", { class: "opskit-row opskit-actions" }, needed > 0 && agree, go,
      leave && button(now.leave, () => leave(plan.digest)),
      back && button("Back", back, "opskit-quiet"), note,
      h("span", { class: "opskit-hint opskit-digest", title: plan.digest }, `plan ${plan.digest.slice(0, 12)}`)));
}
