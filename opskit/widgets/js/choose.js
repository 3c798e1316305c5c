// Choosing an app and its secrets, and how values are made.
import { h, labelled, state, uid } from "./dom.js";

const CHARSETS = [["", "as in the recipe"], ["default", "letters and digits"], ["hex", "hex"], ["safespecial", "letters, digits and -_."], ["special", "with special characters"]];
const GENERATORS = [["", "characters"], ["words", "EFF words"], ["pwqgen", "pwqgen"], ["pwgen", "pwgen"]];
const NO_HOOK = "none";
const select = (options) => h("select", { class: "opskit-input" }, ...options.map(([value, text]) => h("option", { value }, text)));

/** Which secrets of an app a form of this kind can do something with. */
const suits = {
  generate: (secret) => ["missing", "undeployed"].includes(secret.state) && secret.age === null,
  rotate: (secret) => secret.generate && secret.state !== "missing",
  remove: (secret) => secret.age !== null && !secret.used,
  prune: (secret) => secret.old > 0,
};
const UNABLE = {
  generate: () => "It exists: rotate it instead.",
  rotate: (secret) => secret.generate ? "It is not in the swarm: generate it instead." : "The recipe says that it is not generated: insert it.",
  remove: (secret) => secret.used ? "Services use it: take the app down first, or rotate it and prune." : "It is not in the swarm.",
  prune: () => "It has no superseded version.",
};

const WHOLE = new Set(["deploy", "upgrade", "undeploy", "restart"]);
const NOTHING = { generate: "Nothing is missing: every declared secret exists.", rotate: "No app has a secret that can be generated.", remove: "Services use every secret: take an app down first.", prune: "No secret has a superseded version.", deploy: "No app is declared.", upgrade: "No deployed app has a later release that is known here.", undeploy: "No app is deployed.", restart: "No app is deployed." };
const WANTED = { upgrade: "here with a known later release", undeploy: "here that is deployed", restart: "here that is deployed" };

/** Secrets that the cell's code selected; each may be left out. */
export function presetChooser(preset, kept) {
  const boxes = preset.map((row) => {
    const [server, app, secret] = row;
    const box = h("input", { type: "checkbox", checked: kept ? kept.rows.includes(row.join("\n")) : true });
    return { row, box, line: h("label", { class: "opskit-choice opskit-preset", title: `${secret} of ${app} on ${server}` }, box,
      h("span", { class: "opskit-name" }, secret), h("span", { class: "opskit-name" }, app || "no app"), h("span", { class: "opskit-hint" }, server)) };
  });
  const chosen = () => boxes.filter(({ box }) => box.checked).map(({ row }) => row);
  return {
    element: h("fieldset", { class: "opskit-set" }, h("legend", {}, "Selected secrets"), h("div", { class: "opskit-secrets" }, ...boxes.map(({ line }) => line))),
    chosen,
    kept: () => ({ rows: chosen().map((row) => row.join("\n")) }),
  };
}

export function appChooser(kind, apps, preselected, kept) {
  const chosen = kept?.app ? { app: kept.app, secret: "" } : preselected;
  const isChosen = (app) => app.app === chosen.app || `${app.server}/${app.app}` === chosen.app;
  const able = (secret) => suits[kind]?.(secret) ?? true;
  const useful = apps.filter((app) => app.about || isChosen(app) || app.secrets.some(able));
  let current = null;
  let unknown = Boolean(chosen.app) && !useful.some(isChosen);
  const search = h("input", { type: "search", class: "opskit-input", placeholder: "server or app …" });
  const list = h("select", { class: "opskit-input opskit-list", size: 7 });
  const secrets = h("div", { class: "opskit-secrets" });
  const many = kind !== "insert";
  const group = uid();

  function fill() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const shown = useful.map((app, place) => [app, place]).filter(([app]) => {
      const text = `${app.server} ${app.app} ${app.recipe ?? ""}`.toLowerCase();
      return words.every((word) => text.includes(word));
    });
    list.replaceChildren(...shown.map(([app, place]) => h("option", { value: place, title: `${app.app} on ${app.server}` }, `${app.app} · ${app.server}`)));
    // What was asked for is not there: no other app may pass for it.
    const still = shown.find(([app]) => app === current) ?? (unknown ? null : shown[0]);
    if (still) list.value = still[1];
    pick();
  }
  function pick() {
    const app = useful[list.value] ?? null;
    if (app === current && secrets.childElementCount) return;
    current = app;
    if (!app && unknown) return secrets.replaceChildren(h("p", { class: "opskit-warning", role: "alert" }, `There is no app ${chosen.app} ${apps.some(isChosen) ? "for this" : WANTED[kind] ?? "here"}. Choose one.`));
    if (!app) return secrets.replaceChildren(h("p", { class: "opskit-hint" }, useful.length ? "No app fits." : NOTHING[kind] ?? "No app has secrets."));
    if (app.about) return secrets.replaceChildren(h("dl", { class: "opskit-about" }, ...app.about.flatMap(([word, value]) => [h("dt", {}, word), h("dd", { title: value }, value)])));
    secrets.replaceChildren(...app.secrets.map((secret) => {
      const preset = kept?.app && isChosen(app) ? kept.secrets.includes(secret.name) : chosen.secret ? secret.name === chosen.secret : kind === "generate" && able(secret) && secret.generate;
      const box = h("input", { type: many ? "checkbox" : "radio", name: group, value: secret.name, disabled: !able(secret) && many, checked: preset });
      const wish = kind === "prune" ? (secret.old ? `${secret.old} old` : "") : secret.generate ? (secret.length ? `${secret.length} characters` : "") : "not generated";
      const unable = box.disabled ? ` · ${UNABLE[kind](secret)}` : "";
      return h("label", { class: `opskit-choice ${unable ? "opskit-unable" : ""}`, title: `${secret.name}${unable}` }, box,
        h("span", { class: "opskit-name" }, secret.name), h("span", { class: "opskit-version" }, secret.version ?? ""),
        state(secret.state), h("span", { class: "opskit-hint" }, [wish, secret.age === null ? "" : `${Math.round(secret.age)} days`].filter(Boolean).join(", ")));
    }));
    if (chosen.secret && isChosen(app) && !app.secrets.some((secret) => secret.name === chosen.secret)) {
      secrets.prepend(h("p", { class: "opskit-warning", role: "alert" }, `${app.app} declares no secret ${chosen.secret}. Choose one.`));
    }
  }
  search.addEventListener("input", fill);
  list.addEventListener("change", () => { unknown = false; pick(); });
  fill();
  const start = useful.findIndex(isChosen);
  if (start >= 0) { list.value = start; pick(); }
  const element = h("div", { class: "opskit-columns" },
    h("div", {}, labelled("Search apps", search), labelled("App", list)),
    h("fieldset", { class: "opskit-set" }, h("legend", {}, WHOLE.has(kind) ? "What it is" : many ? "Secrets" : "Secret"), secrets));
  return {
    element,
    kept: () => ({ app: current ? `${current.server}/${current.app}` : "", secrets: [...secrets.querySelectorAll("input:checked")].map((box) => box.value) }),
    chosen: () => WHOLE.has(kind) ? (current ? [[current.server, current.app, ""]] : []) : [...secrets.querySelectorAll("input:checked")].map((box) => [current.server, current.app, box.value]),
  };
}

export function optionFields(kind, kept) {
  const length = h("input", { type: "number", min: 1, max: 4096, class: "opskit-input opskit-short", placeholder: "as in recipe" });
  const charset = select(CHARSETS);
  const generator = select(GENERATORS);
  const keep = h("input", { type: "number", min: 0, max: 99, value: 1, class: "opskit-input opskit-short" });
  const pass = h("input", { type: "checkbox" });
  const hook = h("input", { type: "text", class: "opskit-input opskit-hook", placeholder: "as in recipe", spellcheck: "false", autocomplete: "off", list: `${uid()}-hooks` });
  const hooks = h("datalist", { id: hook.getAttribute("list") }, ...["postgres", "mariadb", "redis", NO_HOOK].map((one) => h("option", { value: one })));
  const makes = ["browse", "rotate", "generate"].includes(kind);
  const switches = ["browse", "rotate", "insert"].includes(kind);
  const element = h("div", { class: "opskit-row opskit-options" },
    makes && labelled("Length", length), makes && labelled("Characters", charset), makes && labelled("Generator", generator),
    kind === "prune" && labelled("Old versions to keep", keep),
    kind !== "prune" && !WHOLE.has(kind) && h("label", { title: "Store, update or remove the value in your password store too." }, pass, " Keep pass in step"),
    switches && labelled("Database hook", hook), switches && hooks);
  hook.title = "How a database is told its new password: postgres, mariadb or redis, then :SERVICE and user=NAME if need be; none changes the file only.";
  const all = [length, charset, generator, keep, hook];
  all.forEach((one, place) => { if (kept) one.value = kept.values[place]; });
  if (kept) pass.checked = kept.pass;
  return {
    element,
    kept: () => ({ values: all.map((one) => one.value), pass: pass.checked }),
    options: () => ({ length: Number(length.value) || null, charset: charset.value, generator: generator.value, use_pass: pass.checked, hook: hook.value.trim() === NO_HOOK ? "" : hook.value.trim(), no_hook: hook.value.trim() === NO_HOOK }),
    keep: () => Number(keep.value),
  };
}
