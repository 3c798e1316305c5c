// The field a secret is typed, pasted or dropped into. It never leaves here but sealed.
import { button, h, labelled, uid } from "./dom.js";
import { obstacle, sealTo } from "./seal.js";

const LARGEST = 511_999;
const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const USUAL = 32;
const encoder = new TextEncoder();

/** Random characters, each as likely as any other; a dash does not lead, as in the kernel. */
export function generated({ length, alphabet = LETTERS }) {
  const wanted = Math.min(length || USUAL, LARGEST);
  // Above the largest multiple of the alphabet's size in a byte, some characters would be favoured.
  const fair = 256 - 256 % alphabet.length;
  const chosen = [];
  while (chosen.length < wanted) {
    for (const byte of crypto.getRandomValues(new Uint8Array(64))) {
      const one = alphabet[byte % alphabet.length];
      if (byte < fair && chosen.length < wanted && (chosen.length || one !== "-")) chosen.push(one);
    }
  }
  return chosen.join("");
}

/** At most so many bits: as if each character had been drawn by chance from the kinds that occur. */
export function bitsAtMost(text) {
  let kinds = 0;
  for (const [pattern, size] of [[/[a-z]/, 26], [/[A-Z]/, 26], [/[0-9]/, 10], [/[^A-Za-z0-9]/, 33]]) {
    if (pattern.test(text)) kinds += size;
  }
  return kinds ? new Set(text).size === 1 ? 1 : text.length * Math.log2(kinds) : 0;
}

/** Make the field; `take` gives its value sealed and empties it; `draft` is what another view of it
 * had, `wish` gives the length and alphabet that a value made here should have. */
export function secretField({ purpose, draft = {}, wish = () => ({}) }) {
  const problem = obstacle();
  if (problem) {
    const element = h("p", { class: "opskit-error", role: "alert" }, problem);
    return { element, problem, take: async () => { throw new Error(problem); }, isEmpty: () => true, clear() {}, focus() {} };
  }
  let file = draft.file ?? null;
  const quiet = { autocomplete: "off", autocapitalize: "off", spellcheck: "false", "data-lpignore": "true", "data-1p-ignore": "" };
  const line = h("input", { type: "password", class: "opskit-input", "aria-label": "Secret value", ...quiet });
  const area = h("textarea", { class: "opskit-input opskit-area opskit-dots", rows: 4, hidden: true, "aria-label": "Secret value", ...quiet });
  const control = () => (area.hidden ? line : area);
  const meter = h("meter", { min: 0, max: 160, low: 64, high: 127, optimum: 160, "aria-hidden": "true" });
  const strength = h("span", { class: "opskit-hint", id: uid(), "aria-live": "polite" });
  const chooser = h("input", { type: "file", hidden: true, tabindex: -1, "aria-label": "File with the secret value" });
  const show = h("input", { type: "checkbox" });
  const many = h("input", { type: "checkbox" });
  for (const one of [line, area]) one.setAttribute("aria-describedby", strength.id);

  function told() {
    Object.assign(draft, { file, text: control().value, many: many.checked });
    // An empty field with a file's name below it would look as if nothing were given.
    line.placeholder = area.placeholder = file ? "The file named below" : "";
    if (file) {
      strength.textContent = `${file.name}, ${file.bytes.length.toLocaleString()} bytes`;
      meter.value = 160;
      return;
    }
    const bits = bitsAtMost(control().value);
    meter.value = Math.min(bits, 160);
    strength.textContent = bits
      ? `at most ${Math.round(bits)} bits, if it was made by chance${bits < 128 ? "; 128 are advised" : ""}`
      : "Type, paste, or drop a file here.";
  }
  async function taken(dropped) {
    if (!dropped) return;
    if (dropped.size < 1 || dropped.size > LARGEST) {
      clear();
      strength.textContent = `${dropped.name} has ${dropped.size.toLocaleString()} bytes; Swarm takes 1 to ${LARGEST.toLocaleString()}.`;
      return;
    }
    file = { name: dropped.name, bytes: new Uint8Array(await dropped.arrayBuffer()) };
    line.value = area.value = "";
    told();
  }
  function clear() {
    file?.bytes.fill(0);
    file = null;
    line.value = area.value = chooser.value = "";
    show.checked = false;
    hide();
    told();
  }
  function hide() {
    line.type = show.checked ? "text" : "password";
    area.classList.toggle("opskit-dots", !show.checked);
  }
  show.addEventListener("change", hide);
  many.addEventListener("change", () => {
    if (!many.checked && /\n./s.test(area.value)) {
      // A one-line field would join them, and the value would be another.
      many.checked = true;
      strength.textContent = "The value has several lines.";
      return;
    }
    const value = control().value;
    area.hidden = !many.checked;
    line.hidden = many.checked;
    control().value = value;
    (many.checked ? line : area).value = "";
    draft.many = many.checked;
    control().focus();
  });
  for (const one of [line, area]) one.addEventListener("input", () => { file = null; told(); });
  line.addEventListener("paste", (event) => {
    // A one-line field would join the lines of a key or certificate.
    const text = event.clipboardData?.getData("text") ?? "";
    if (!text.trim().includes("\n")) return;
    event.preventDefault();
    many.checked = true;
    many.dispatchEvent(new Event("change"));
    area.value = text;
    told();
  });
  chooser.addEventListener("change", () => taken(chooser.files[0]));
  const element = h(
    "div",
    {
      class: "opskit-secret",
      ondragover: (event) => { event.preventDefault(); element.classList.add("opskit-drop"); },
      ondragleave: () => element.classList.remove("opskit-drop"),
      ondrop: (event) => {
        event.preventDefault();
        event.stopPropagation();
        element.classList.remove("opskit-drop");
        taken(event.dataTransfer.files[0]);
      },
    },
    h("span", { class: "opskit-label", "aria-hidden": "true" }, "Secret value"),
    line,
    area,
    h("div", { class: "opskit-row" }, meter, strength),
    h(
      "div",
      { class: "opskit-row" },
      h("label", {}, show, " Show"),
      h("label", {}, many, " Several lines"),
      button("Choose a file…", () => chooser.click(), "opskit-quiet"),
      button("Make one here", () => { clear(); control().value = generated(wish()); told(); }, "opskit-quiet"),
      chooser,
    ),
  );
  many.checked = line.hidden = draft.many ?? false;
  area.hidden = !line.hidden;
  control().value = draft.text ?? "";
  told();
  return {
    element,
    clear,
    isEmpty: () => !file && !control().value,
    focus: () => control().focus(),
    /** Seal the value to the kernel's key; the field is empty from then on. */
    async take(jwk) {
      const bytes = file ? file.bytes.slice() : encoder.encode(control().value);
      clear();
      try {
        return await sealTo(jwk, bytes, purpose);
      } finally {
        bytes.fill(0);
      }
    },
  };
}
