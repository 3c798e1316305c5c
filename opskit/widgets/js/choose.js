// Choosing an app and its secrets, and how values are made.
import { h, labelled, state, uid } from "./dom.js";

const CHARSETS = [["", "as the recipe says"], ["default", "letters and digits"], ["hex", "hex"], ["safespecial", "letters, digits and -_."], ["special", "with special characters"]];
const GENERATORS = [["", "characters"], ["words", "EFF words"], ["pwqgen", "pwqgen"], ["pwgen", "pwgen"]];
const NO_HOOK = "none";
const select = (options) => h("select", { class: "opskit-input" }, ...options.map(([value, text]) => h("option", { value }, text)));

/** Which secrets of an app a form of this kind can do something with. */
const suits = {
  generate: (secret) => ["missing", "undeployed"].includes(secret.state) && secret.age === null,
  rotate: (secret) => secret.generate && secret.state !== "missing",
};

const WHOLE = new Set(["deploy", "undeploy", "restart"]);
const NOTHING = { generate: "Nothing is missing: every declared secret exists.", rotate: "No app has a secret that can be generated.", deploy: "No app is declared.", undeploy: "No app is deployed.", restart: "No app is deployed." };

export function appChooser(kind, apps, chosen) {
  const isChosen = (app) => app.app === chosen.app || `${app.server}/${app.app}` === chosen.app;
  const able = (secret) => suits[kind]?.(secret) ?? true;
  const useful = apps.filter((app) => app.about || isChosen(app) || app.secrets.some(able));
  let current = null;
  const search = h("input", { type: "search", class: "opskit-input", placeholder: "server or app …" });
  const list = h("select", { class: "opskit-input opskit-list", size: 7 });
  const secrets = h("div", { class: "opskit-secrets" });
  const many = kind !== "insert";

  function fill() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const shown = useful.map((app, place) => [app, place]).filter(([app]) => {
      const text = `${app.server} ${app.app} ${app.recipe ?? ""}`.toLowerCase();
      return words.every((word) => text.includes(word));
    });
    list.replaceChildren(...shown.map(([app, place]) => h("option", { value: place, title: `${app.app} on ${app.server}` }, `${app.app} · ${app.server}`)));
    const still = shown.find(([app]) => app === current) ?? shown[0];
    if (still) list.value = still[1];
    pick();
  }
  function pick() {
    const app = useful[list.value] ?? null;
    if (app === current && secrets.childElementCount) return;
    current = app;
    if (!app) return secrets.replaceChildren(h("p", { class: "opskit-hint" }, useful.length ? "No app fits." : NOTHING[kind] ?? "No app has secrets."));
    if (app.about) return secrets.replaceChildren(h("dl", { class: "opskit-about" }, ...app.about.flatMap(([word, value]) => [h("dt", {}, word), h("dd", { title: value }, value)])));
    secrets.replaceChildren(...app.secrets.map((secret) => {
      const preset = chosen.secret ? secret.name === chosen.secret : kind === "generate" && able(secret) && secret.generate;
      const box = h("input", { type: many ? "checkbox" : "radio", name: "opskit-secret", value: secret.name, disabled: !able(secret) && many, checked: preset });
      const wish = secret.generate ? (secret.length ? `${secret.length} characters` : "") : "not generated";
      return h("label", { class: "opskit-choice", title: secret.name }, box,
        h("span", { class: "opskit-name" }, secret.name), h("span", { class: "opskit-version" }, secret.version ?? ""),
        state(secret.state), h("span", { class: "opskit-hint" }, [wish, secret.age === null ? "" : `${Math.round(secret.age)} days`].filter(Boolean).join(", ")));
    }));
  }
  search.addEventListener("input", fill);
  list.addEventListener("change", pick);
  fill();
  const start = useful.findIndex(isChosen);
  if (start >= 0) { list.value = start; pick(); }
  const element = h("div", { class: "opskit-columns" },
    h("div", {}, labelled("Search apps", search), labelled("App", list)),
    h("fieldset", { class: "opskit-set" }, h("legend", {}, WHOLE.has(kind) ? "What it is" : many ? "Secrets" : "Secret"), secrets));
  return {
    element,
    chosen: () => WHOLE.has(kind) ? (current ? [[current.server, current.app, ""]] : []) : [...secrets.querySelectorAll("input:checked")].map((box) => [current.server, current.app, box.value]),
  };
}

export function optionFields(kind) {
  const length = h("input", { type: "number", min: 1, max: 4096, class: "opskit-input opskit-short", placeholder: "recipe's" });
  const charset = select(CHARSETS);
  const generator = select(GENERATORS);
  const keep = h("input", { type: "number", min: 0, max: 99, value: 1, class: "opskit-input opskit-short" });
  const pass = h("input", { type: "checkbox" });
  const hook = h("input", { type: "text", class: "opskit-input opskit-hook", placeholder: "recipe's", spellcheck: "false", autocomplete: "off", list: `${uid()}-hooks` });
  const hooks = h("datalist", { id: hook.getAttribute("list") }, ...["postgres", "mariadb", "redis", NO_HOOK].map((one) => h("option", { value: one })));
  const makes = ["browse", "rotate", "generate"].includes(kind);
  const switches = ["browse", "rotate", "insert"].includes(kind);
  const element = h("div", { class: "opskit-row opskit-options" },
    makes && labelled("Length", length), makes && labelled("Characters", charset), makes && labelled("Made by", generator),
    kind === "prune" && labelled("Keep back", keep),
    kind !== "prune" && !WHOLE.has(kind) && h("label", { title: "Store, update or remove the value in your password store too." }, pass, " Keep pass in step"),
    switches && labelled("Database hook", hook), switches && hooks);
  hook.title = "How a database is told its new password: postgres, mariadb or redis, then :SERVICE and user=NAME if need be; none changes the file only.";
  return {
    element,
    options: () => ({ length: Number(length.value) || null, charset: charset.value, generator: generator.value, use_pass: pass.checked, hook: hook.value.trim() === NO_HOOK ? "" : hook.value.trim(), no_hook: hook.value.trim() === NO_HOOK }),
    keep: () => Number(keep.value),
  };
}
