// A form: shows the kernel's state, and tells the kernel what was clicked, by whom, in which tab.
import { appChooser, optionFields } from "./choose.js";
import { badge, button, h } from "./dom.js";
import { secretField } from "./field.js";
import { planView } from "./plan.js";
import { progressList, resultView, revealed } from "./progress.js";
import { openFor, tab, tabKey } from "./seal.js";
import { secretTable } from "./table.js";
import { whoami } from "./whoami.js";

const VERBS = { browse: "Rotate selected…", rotate: "Rotate", generate: "Generate", insert: "Insert", remove: "Remove", prune: "Prune", deploy: "Deploy", undeploy: "Take down", restart: "Restart" };
const BUSY = { loading: "Reading every server…", planning: "Making the plan…", running: "Running" };

function render({ model, el }) {
  const stopped = new AbortController();
  const header = h("div", { class: "opskit-head" });
  const banner = h("div", { "aria-live": "assertive" });
  const body = h("div", { class: "opskit-body" });
  const steps = progressList();
  steps.element.hidden = true;
  const root = h("section", { class: "opskit-form", "aria-label": model.get("title") }, header, banner, body, steps.element);
  // JupyterLab's shortcuts must not see what is typed here.
  for (const kind of ["keydown", "keyup", "keypress", "paste"]) root.addEventListener(kind, (event) => event.stopPropagation());
  root.dataset.lmSuppressShortcuts = "true";
  el.replaceChildren(root);
  let view = -1;
  let result = null;

  async function send(type, more = {}) {
    model.send({ type, tab, who: await whoami(), ...more });
  }
  const actions = {
    tab,
    apply: (digest, confirm) => send("apply", { digest, confirm }),
    approve: (digest) => send("approve", { digest }),
    resume: (run) => send("resume", { run }),
    rollback: (run) => send("rollback", { run }),
    reveal: async (name) => send("reveal", { name, tab_key: await tabKey() }),
  };

  function choosing(now) {
    const { kind } = now;
    const fields = optionFields(kind);
    const go = button(VERBS[kind], plan, "opskit-primary");
    const note = h("span", { class: "opskit-hint", "aria-live": "polite" });
    const chooser = kind === "browse"
      ? secretTable(model.get("rows"), { onchange: (count) => { go.disabled = !count; note.textContent = count ? `${count} selected` : ""; } })
      : appChooser(kind, now.apps, now.chosen);
    if (kind === "browse") go.disabled = true;
    const secret = kind === "insert" ? secretField({ purpose: "insert" }) : null;
    async function plan() {
      const rows = chooser.chosen();
      if (!rows.length) { note.textContent = now.apps[0]?.about ? "Choose an app." : "Choose at least one secret."; return; }
      if (secret?.isEmpty()) { note.textContent = "Give the value first."; secret.focus(); return; }
      go.disabled = true;
      try {
        const sealed = secret ? await secret.take(model.get("key")) : null;
        await send("plan", { rows, options: fields.options(), keep: fields.keep(), sealed });
      } catch (error) {
        note.textContent = error.message;
        go.disabled = false;
      }
    }
    return h("div", {}, chooser.element, secret?.element, fields.element, h("div", { class: "opskit-row opskit-actions" }, go, note));
  }

  function panel(now) {
    switch (now.phase) {
      case "choose": return choosing(now);
      case "planned": return planView(now, { ...actions, back: now.kind === "approve" ? null : () => send("back") });
      case "ended":
        result = resultView(now.result, { ...actions, again: now.kind === "approve" ? null : () => send("back") });
        return result.element;
      default: return h("p", { class: "opskit-busy", role: "status" }, h("span", { class: "opskit-spinner", "aria-hidden": "true" }), BUSY[now.phase] ?? "");
    }
  }

  function show() {
    const now = model.get("state");
    if (!now.phase) return;
    header.replaceChildren(...[h("h3", {}, model.get("title")),
      now.by && now.phase !== "choose" && h("span", { class: "opskit-by" }, badge(now.by), ` ${now.by.name}`),
      now.missing && h("span", { class: "opskit-hint", title: now.missing }, now.missing)].filter(Boolean));
    const open = now.phase === "choose" && now.unfinished;
    banner.replaceChildren(...[
      now.error && h("p", { class: "opskit-error", role: "alert" }, now.error),
      open && h("div", { class: "opskit-unfinished" },
        h("span", {}, `Run ${open.run} (${open.kind}, by ${open.identity}) did not finish: ${open.status}.`),
        button("Resume", () => actions.resume(open.run)), button("Roll back", () => actions.rollback(open.run))),
    ].filter(Boolean));
    // An approval or an error changes the state but not what somebody may be typing.
    const key = `${now.view}/${now.approvals.length}/${now.error ? 1 : 0}/${now.phase === "ended" ? now.result?.run : ""}`;
    if (key !== view) {
      view = key;
      body.replaceChildren(panel(now));
    }
    steps.element.hidden = !["running", "ended"].includes(now.phase);
    steps.show(model.get("steps"));
  }

  async function told(message) {
    if (message.type !== "revealed" || message.tab !== tab || !result) return;
    result.shown.append(revealed(message.name.split("/")[1], await openFor(message.sealed)));
  }
  model.on("change:state", show);
  model.on("change:steps", show);
  model.on("msg:custom", told);
  const clock = setInterval(() => { if (model.get("state").phase === "running") steps.tick(); }, 1000);
  stopped.signal.addEventListener("abort", () => clearInterval(clock));
  show();
  return () => {
    stopped.abort();
    model.off("change:state", show);
    model.off("change:steps", show);
    model.off("msg:custom", told);
  };
}

export default { render };
