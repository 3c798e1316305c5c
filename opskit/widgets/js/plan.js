// A plan as it will be applied, its approvals and its confirmation.
import { badge, button, h, labelled, list } from "./dom.js";

const CHANGES = [["server", "Server"], ["app", "App"], ["secret", "Secret"], ["from", "From"], ["to", "To"], ["restarts", "Restarts"], ["removes", "Removes"], ["bits", "Bits"], ["undone_by", "Undone by"], ["note", "Note"]];
const CALLS = [["app", "App"], ["step", "Step"], ["action", "Action"], ["call", "Call"]];

function table(columns, rows, label) {
  const used = columns.filter(([name]) => rows.some((row) => row[name] !== "" && row[name] !== null));
  return h("div", { class: "opskit-tablebox", tabindex: 0, role: "region", "aria-label": label },
    h("table", { class: "opskit-table" },
      h("thead", {}, h("tr", {}, ...used.map(([, title]) => h("th", { scope: "col" }, title)))),
      h("tbody", {}, ...rows.map((row) => h("tr", {}, ...used.map(([name]) => {
        const value = row[name];
        const text = typeof value === "number" ? String(Math.round(value)) : String(value ?? "");
        return h("td", { title: text, class: `opskit-p-${name}` }, text);
      }))))));
}

/** `confirms` keeps, by plan, what somebody typed to confirm it. */
export function planView(now, confirms, { apply, approve, leave, back }) {
  const { plan, needed, approvals } = now;
  const word = plan.confirm;
  const typed = h("input", { type: "text", class: "opskit-input", autocomplete: "off", spellcheck: "false" });
  const enough = () => approvals.length >= needed;
  const go = button(now.apply ?? "Apply", () => apply(plan.digest, typed.value), word ? "opskit-danger" : "opskit-primary");
  const check = () => { go.disabled = !enough() || (word && typed.value !== word); };
  const note = h("span", { class: "opskit-hint", "aria-live": "polite" });
  const say = (words) => { note.textContent = words; };
  typed.value = confirms[plan.digest] ?? "";
  typed.addEventListener("input", () => { confirms[plan.digest] = typed.value; check(); });
  check();
  return h("div", {},
    table(CHANGES, plan.changes, "Changes"),
    h("details", {}, h("summary", {}, `Every call it will make (${plan.calls.length})`), table(CALLS, plan.calls, "Calls")),
    plan.left_alone.length > 0 && h("p", { class: "opskit-hint" }, "Stays:"),
    list(plan.left_alone),
    plan.warnings.length > 0 && h("p", { class: "opskit-warning" }, plan.warnings.join(" ")),
    h("p", { class: "opskit-impact", title: plan.restarts.join(", ") || false }, plan.impact.join(" ")),
    list(plan.reading),
    needed > 0 && h("p", { class: "opskit-approvals", "aria-live": "polite" },
      `Approved by ${approvals.length} of ${needed}: `, ...approvals.flatMap((person) => [badge(person), ` ${person.name} `]),
      approvals.length ? "" : "nobody yet"),
    word && labelled(`Type ${word} to confirm`, typed),
    h("div", { class: "opskit-row opskit-actions" }, needed > 0 && button("Approve", () => approve(plan.digest, say)), go,
      leave && button(now.leave, () => leave(plan.digest)),
      back && button("Back", back, "opskit-quiet"), note,
      h("span", { class: "opskit-hint opskit-digest", title: plan.digest }, `plan ${plan.digest.slice(0, 12)}`)));
}
