// Choosing an app and its secrets, and how values are made.
import { days, h, labelled, state, uid } from "./dom.js";

const select = (options) => h("select", { class: "opskit-input" }, ...options.map(([value, text]) => h("option", { value }, text)));

/** Secrets that the cell's code selected; each may be left out. */
export function presetChooser(preset, saved) {
  const boxes = preset.map((row) => {
    const [server, app, secret] = row;
    const box = h("input", { type: "checkbox", checked: saved ? saved.rows.includes(row.join("\n")) : true });
    return { row, box, line: h("label", { class: "opskit-choice opskit-preset", title: `${secret} of ${app} on ${server}` }, box,
      h("span", { class: "opskit-name" }, secret), h("span", { class: "opskit-name" }, app || "no app"), h("span", { class: "opskit-hint" }, server)) };
  });
  const chosen = () => boxes.filter(({ box }) => box.checked).map(({ row }) => row);
  return {
    element: h("fieldset", { class: "opskit-set" }, h("legend", {}, "Selected secrets"), h("div", { class: "opskit-secrets" }, ...boxes.map(({ line }) => line))),
    chosen,
    saved: () => ({ rows: chosen().map((row) => row.join("\n")) }),
  };
}

export function appChooser({ form, apps, chosen: preselected, asked, only }, saved) {
  const chosen = saved?.app ? { app: saved.app, secret: "" } : preselected;
  const isChosen = (app) => app.app === chosen.app || `${app.server}/${app.app}` === chosen.app;
  const useful = apps.filter((app) => app.about || isChosen(app) || app.secrets.some((secret) => !secret.obstacle));
  let current = null;
  let unknown = Boolean(chosen.app) && !useful.some(isChosen);
  const search = h("input", { type: "search", class: "opskit-input", placeholder: "server or app …" });
  const list = h("select", { class: "opskit-input opskit-list", size: 7 });
  const secrets = h("div", { class: "opskit-secrets" });
  const many = form.chooses === "secrets";
  const whole = form.chooses === "app";
  const group = uid();

  function fill() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const shown = useful.map((app, place) => [app, place]).filter(([app]) => {
      const text = `${app.server} ${app.app} ${app.recipe ?? ""}`.toLowerCase();
      return words.every((word) => text.includes(word));
    });
    list.replaceChildren(...shown.map(([app, place]) => h("option", { value: place, title: `${app.app} on ${app.server}` }, `${app.app} · ${app.server}`)));
    // What was asked for is not there: no other app may pass for it. Nor is one chosen by itself
    // where all of it is concerned.
    const still = shown.find(([app]) => app === current) ?? (unknown || whole ? null : shown[0]);
    if (still) list.value = still[1];
    pick(shown.length);
  }
  function pick(fitting) {
    const app = useful[list.value] ?? null;
    if (app === current && secrets.childElementCount) return;
    current = app;
    if (!app && unknown) return secrets.replaceChildren(h("p", { class: "opskit-warning", role: "alert" }, only ? asked : `${asked} Choose another one.`));
    if (!app) return secrets.replaceChildren(h("p", { class: "opskit-hint" }, !useful.length ? form.nothing : fitting ? "Choose an app." : "No app fits."));
    if (app.about) return secrets.replaceChildren(h("dl", { class: "opskit-about" }, ...app.about.flatMap(([word, value]) => [h("dt", {}, word), h("dd", { title: value }, value)])));
    secrets.replaceChildren(...app.secrets.map((secret) => {
      const preset = saved?.app && isChosen(app) ? saved.secrets.includes(secret.name) : chosen.secret ? secret.name === chosen.secret : secret.preselected;
      const box = h("input", { type: many ? "checkbox" : "radio", name: group, value: secret.name, disabled: Boolean(secret.obstacle), checked: preset });
      const unable = box.disabled ? ` · ${secret.obstacle}` : "";
      return h("label", { class: `opskit-choice ${unable ? "opskit-unable" : ""}`, title: `${secret.name}${unable}` }, box,
        h("span", { class: "opskit-name" }, secret.name), h("span", { class: "opskit-version" }, secret.version ?? ""),
        state(secret.state), h("span", { class: "opskit-hint" }, secret.obstacle || [secret.hint, days(secret.age)].filter(Boolean).join(", ")));
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
  const legend = whole ? "What it is" : many ? "Secrets" : "Secret";
  const set = h("fieldset", { class: `opskit-set ${only ? "opskit-only" : ""}` }, h("legend", {}, only && current ? `${legend}: ${current.app} on ${current.server}` : legend), secrets);
  const element = only ? set : h("div", { class: "opskit-columns" }, h("div", {}, labelled("Search apps", search), labelled("App", list)), set);
  return {
    element,
    saved: () => ({ app: current ? `${current.server}/${current.app}` : "", secrets: [...secrets.querySelectorAll("input:checked")].map((box) => box.value) }),
    chosen: () => whole ? (current ? [[current.server, current.app, ""]] : []) : [...secrets.querySelectorAll("input:checked")].map((box) => [current.server, current.app, box.value]),
  };
}

/** The fields that the kernel says this form has, with the choices it gives. */
export function optionFields({ fields, no_hook: noHook }, saved, { options: preset, keep: usual }) {
  const number = (attributes) => h("input", { type: "number", class: "opskit-input opskit-short", ...attributes });
  const hook = h("input", { type: "text", class: "opskit-input opskit-hook", placeholder: "as in recipe", spellcheck: "false", autocomplete: "off", list: `${uid()}-hooks` });
  const inputs = {
    length: number({ min: 1, max: 4096, placeholder: "as in recipe" }),
    charset: select(fields.charset ?? []),
    generator: select(fields.generator ?? []),
    keep: number({ min: 0, max: 99, value: usual }),
    deploy: select(fields.deploy ?? fields.deploy_with ?? []),
    hook,
  };
  const { length, charset, generator, keep, deploy } = inputs;
  const pass = h("input", { type: "checkbox" });
  const element = h("div", { class: "opskit-row opskit-options" },
    fields.length && labelled("Length", length), fields.charset && labelled("Characters", charset), fields.generator && labelled("Generator", generator),
    fields.keep && labelled("Old versions to keep", keep),
    fields.use_pass && h("label", { title: "Store, update or remove the value in your password store too." }, pass, " Keep pass in step"),
    fields.hook && labelled("Database hook", hook),
    fields.hook && h("datalist", { id: hook.getAttribute("list") }, ...fields.hook.map(([value]) => h("option", { value }))),
    (fields.deploy || fields.deploy_with) && labelled("Deploy", deploy));
  hook.title = `How a database is told its new password: a kind, then :SERVICE and user=NAME if need be; ${noHook} changes the file only.`;
  const all = Object.values(inputs);
  all.forEach((one, place) => { if (saved) one.value = saved.values[place]; });
  pass.checked = saved ? saved.pass : Boolean(preset.use_pass);
  if (!saved) hook.value = preset.hook ?? "";
  const said = () => hook.value.trim();
  return {
    element,
    saved: () => ({ values: all.map((one) => one.value), pass: pass.checked }),
    options: () => ({ length: Number(length.value) || null, charset: charset.value, generator: generator.value, use_pass: pass.checked, hook: said() === noHook ? "" : said(), no_hook: said() === noHook, deploy: deploy.value }),
    keep: () => keep.value === "" ? null : Number(keep.value),
  };
}
