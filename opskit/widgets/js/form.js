// A form: shows the kernel's state, and tells the kernel what was clicked, by whom, in which tab.
import { browseView } from "./browse.js";
import { appChooser, optionFields, presetChooser } from "./choose.js";
import { badge, button, h } from "./dom.js";
import { hearing } from "./hearing.js";
import { secretField } from "./field.js";
import { nameOffer } from "./name.js";
import { planView } from "./plan.js";
import { progressList, resultView, revealed } from "./progress.js";
import { openFor, tab, tabKey } from "./seal.js";
import { whoami } from "./whoami.js";

const BUSY = { loading: "Reading every server…", planning: "Making the plan…", running: "Running" };

/** What this tab must not lose when JupyterLab makes the form's view anew, as it does whenever what
 * the notebook says of the form in words changes. It goes with the page, and is nowhere else. */
function memoryOfTab() {
  return { draft: {}, confirm: {}, chosen: null, again: null, revealed: new Map(), shows: new Set() };
}

/** The length and alphabet the recipe declares for the secret that is chosen. */
function wished(now, [row]) {
  const [server, name, secret] = row ?? [];
  const app = now.apps.find((one) => one.server === server && one.app === name);
  const one = app?.secrets.find((each) => each.name === secret);
  return { length: one?.length, alphabet: now.alphabets[one?.charset ?? ""] };
}

function render({ model, el }, memory) {
  const stopped = new AbortController();
  const header = h("div", { class: "opskit-head" });
  const banner = h("div", { "aria-live": "assertive" });
  const { silence, heard, tell, ping, forget } = hearing(model);
  // Always there, as screen readers announce only changes of a region they know.
  const aloud = h("div", { role: "status" });
  const body = h("div", { class: "opskit-body" });
  // Outside the body: what was revealed once must outlive errors and the next phase of the form.
  const shown = h("div", { class: "opskit-revealed" });
  const reveal = () => shown.replaceChildren(...[...memory.revealed].map(([key, { label, bytes }]) => revealed(label, bytes, () => {
    memory.revealed.delete(key);
    for (const one of memory.shows) one();
  })));
  const steps = progressList();
  steps.element.hidden = true;
  const offer = nameOffer();
  const root = h("section", { class: "opskit-form", "aria-label": model.get("title") }, header, offer.element, banner, silence, aloud, body, shown, steps.element);
  // JupyterLab's shortcuts must not see what is typed here.
  for (const kind of ["keydown", "keyup", "keypress", "paste"]) root.addEventListener(kind, (event) => event.stopPropagation());
  root.dataset.lmSuppressShortcuts = "true";
  el.replaceChildren(root);
  let view = -1;
  // The table of all secrets, while it is shown.
  let browsed = null;
  async function send(type, more = {}) {
    tell({ type, tab, who: await whoami(), ...more });
  }
  const actions = {
    tab,
    apply: (digest, confirm) => send("apply", { digest, confirm }),
    leave: (digest) => send("leave", { digest }),
    approve: async (digest, confirm, say) => {
      const who = await whoami();
      if (!who) return say("The Jupyter server did not say who you are.");
      if (model.get("state").approvals.some((one) => one.username === who.username)) return say("You have approved it; now somebody else must.");
      await send("approve", { digest, confirm });
    },
    match: (condition) => tell({ type: "match", tab, condition }),
    /** What was refused of another choice is no word on this one. */
    dismiss: () => { const { error, refused } = model.get("state"); if (error || refused.length) send("dismiss"); },
    take: (way, run) => send(way, { run }),
    reveal: async (key) => send("reveal", { key, tab_key: await tabKey() }),
  };

  function choosing(now) {
    const { form } = now;
    const reread = button("Read again", () => send("back"), "opskit-quiet");
    if (!now.loaded) return h("div", { class: "opskit-row opskit-actions" }, reread);
    const saved = memory.chosen?.();
    if (form.chooses === "table") {
      browsed = browseView(now, model.get("rows"), { ...actions, send, key: () => model.get("key"), draft: memory.draft, reread }, saved);
      memory.chosen = browsed.saved;
      memory.again = browsed.again;
      return browsed.element;
    }
    const fields = optionFields(form, saved?.fields, now);
    const go = button(form.label, plan, "opskit-primary");
    go.hidden = now.only && !now.apps.length;
    const note = h("span", { class: "opskit-hint", "aria-live": "polite" });
    const chooser = now.preset.length ? presetChooser(now.preset, saved?.chooser) : appChooser(now, saved?.chooser);
    chooser.element.addEventListener("change", actions.dismiss);
    memory.chosen = () => ({ chooser: chooser.saved(), fields: fields.saved() });
    const secret = form.fields.value ? secretField({ purpose: "insert", draft: memory.draft, wish: () => wished(now, chooser.chosen()) }) : null;
    async function plan() {
      const rows = chooser.chosen();
      if (!rows.length) { note.textContent = form.chooses === "app" ? "Choose an app." : "Choose at least one secret."; return; }
      if (secret?.problem) { note.textContent = "A value cannot be given on this page; see above."; return; }
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
    return h("div", {}, chooser.element, secret?.element, fields.element, h("div", { class: "opskit-row opskit-actions" }, go, reread, note));
  }

  function spoken(now) {
    if (now.phase === "ended") {
      return h("p", { class: `opskit-outcome opskit-outcome-${now.result.tone}` }, now.result.sentence);
    }
    if (now.phase === "left") return h("p", { class: "opskit-outcome opskit-outcome-idle" }, "Left as it is. Nothing was changed.");
    if (!BUSY[now.phase]) return "";
    const done = now.phase === "running" ? model.get("steps").filter((step) => step.status !== "running").length : 0;
    return h("p", { class: "opskit-busy" }, h("span", { class: "opskit-spinner", "aria-hidden": "true" }), `${BUSY[now.phase]}${done ? ` · ${done} ${done === 1 ? "step" : "steps"} done` : ""}`);
  }

  function panel(now) {
    switch (now.phase) {
      case "choose": return choosing(now);
      case "planned": return planView(now, memory.confirm, { ...actions, leave: now.leave ? actions.leave : null, back: now.form.chooses === "nothing" ? null : () => send("back") });
      case "ended":
        memory.chosen = memory.again;
        return h("div", {}, resultView(now.result, { ...actions, another: now.again && { label: now.again, go: () => send("back") } }),
          now.go_on && h("p", { class: "opskit-hint" }, now.go_on));
      case "left": return h("p", { class: "opskit-hint" }, now.go_on);
      default: return "";
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
      // The table itself marks what was refused, and sums up why.
      now.error && !(now.form.chooses === "table" && now.refused.length > 1) && h("p", { class: "opskit-error", role: "alert" }, now.error),
      now.leave_out > 0 && now.form.chooses !== "table" && h("div", { class: "opskit-row opskit-actions" }, button(`Leave out ${now.leave_out}`, () => send("leave-out"))),
      open && h("div", { class: "opskit-unfinished" },
        h("span", {}, `Run ${open.run} (${open.kind}, by ${open.identity}) did not finish: ${open.status}.`),
        ...open.ways.map(({ way, label }) => button(label, () => actions.take(way, open.run)))),
    ].filter(Boolean));
    const words = spoken(now);
    if (aloud.textContent !== (words.textContent ?? "")) aloud.replaceChildren(words);
    // An error changes the state but not what somebody may be typing.
    const key = `${now.view}/${now.approvals.length}/${now.phase === "ended" ? now.result?.run : ""}`;
    if (key !== view) {
      view = key;
      browsed = null;
      body.replaceChildren(panel(now));
    } else browsed?.update(now);
    steps.element.hidden = !["running", "ended"].includes(now.phase);
    steps.show(model.get("steps"));
  }

  async function received(message) {
    if (message.tab !== tab) return;
    heard();
    if (message.type === "matched") browsed?.matched(message);
    if (message.type !== "revealed") return;
    memory.revealed.set(message.key, { label: message.label, bytes: await openFor(message.sealed) });
    reveal();
  }
  const changed = () => { heard(); show(); };
  model.on("change:state", changed);
  model.on("change:steps", changed);
  const moved = () => browsed?.replace(model.get("rows"));
  model.on("change:rows", moved);
  model.on("msg:custom", received);
  // JupyterLab says so when the kernel, and with it this form, went away or came back.
  model.on("comm_live_update", ping);
  const clock = setInterval(() => { if (silence.hidden && model.get("state").phase === "running") steps.tick(); }, 1000);
  stopped.signal.addEventListener("abort", () => { clearInterval(clock); forget(); });
  memory.shows.add(reveal);
  reveal();
  show();
  ping();
  return () => {
    stopped.abort();
    offer.stop();
    memory.shows.delete(reveal);
    model.off("change:state", changed);
    model.off("change:steps", changed);
    model.off("change:rows", moved);
    model.off("msg:custom", received);
    model.off("comm_live_update", ping);
  };
}

// Called once for each form, however many views it gets.
export default () => {
  const memory = memoryOfTab();
  return { render: (view) => render(view, memory) };
};
