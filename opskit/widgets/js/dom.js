// Small helpers to build DOM; text is only ever set as text.

// Every widget has a copy of this module, and a page may show several.
const copy = Math.random().toString(36).slice(2);
let serial = 0;

/** Make an element; `on*` attributes are listeners, `false` and `null` ones are left out. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else if (name in element && typeof value === "boolean") element[name] = value;
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const uid = () => `opskit-${copy}-${++serial}`;

/** An age as every table and finding rounds it; nothing when it is not known. */
export function days(age) {
  if (age === null) return "";
  const whole = Math.round(age);
  return whole < 1 ? "today" : `${whole.toLocaleString("en")} ${whole === 1 ? "day" : "days"}`;
}

/** A labelled control. */
export function labelled(text, control, hint = "") {
  control.id ||= uid();
  const note = hint ? h("span", { class: "opskit-hint", id: uid() }, hint) : null;
  if (note) control.setAttribute("aria-describedby", note.id);
  return h("div", { class: "opskit-field" }, h("label", { for: control.id }, text), control, note);
}

export const button = (text, onclick, kind = "") =>
  h("button", { type: "button", class: `opskit-button ${kind}`, onclick }, text);

/** Sentences, one below the other; nothing when there are none. */
export const list = (sentences) => sentences.length > 0 && h("ul", { class: "opskit-said" }, ...sentences.map((one) => h("li", {}, one)));

/** A person's initials on their colour, as JupyterLab shows them. */
export function badge(person) {
  const element = h("span", { class: "opskit-badge", title: `${person.name} (claimed)`, "aria-hidden": "true" }, person.initials || "?");
  if (person.color) element.style.background = person.color;
  return element;
}

export const state = (name) => h("span", { class: `opskit-state opskit-state-${name || "unknown"}` }, name || "not read");
