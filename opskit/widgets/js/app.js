// One app on one page: shows what the kernel read of it, and opens forms for it below.
import { formsBelow } from "./below.js";
import { button, days, h, state } from "./dom.js";
import { hearing } from "./hearing.js";
import { tab } from "./seal.js";
import { whoami } from "./whoami.js";

/** What this tab must not lose when JupyterLab makes the page's view anew. */
function memoryOfTab() {
  return { logs: null, expected: null };
}

const moment = (iso) => new Date(iso).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
const dot = (tone) => h("span", { class: `opskit-dot opskit-dot-${tone}`, "aria-hidden": "true" });

/** A table whose rows may have a note below them; cells are texts or elements. */
function table(label, columns, rows) {
  return h("div", { class: "opskit-pagetable", tabindex: 0, role: "region", "aria-label": label },
    h("table", {}, h("thead", {}, h("tr", {}, ...columns.map((one) => h("th", { scope: "col", "aria-label": one ? false : "Action" }, one)))),
      h("tbody", {}, ...rows.flatMap(({ cells, note }) => [
        h("tr", { class: note ? "opskit-noted" : "" }, ...cells.map((cell) => h("td", {}, cell ?? ""))),
        ...(note ? [h("tr", { class: "opskit-note" }, h("td", { colspan: columns.length }, note))] : []),
      ]))));
}

const section = (title, rows, nothing, content) => h("div", { class: "opskit-part" },
  h("h4", {}, title, h("span", { class: "opskit-count" }, ` ${rows.length || nothing}`)), rows.length ? content(rows) : "");

function render({ model, el }, memory) {
  const head = h("div", { class: "opskit-head" });
  const { silence, heard, tell, ping, forget } = hearing(model);
  // Always there, as screen readers announce only changes of a region they know.
  const aloud = h("div", { role: "status", class: "opskit-stands" });
  const said = h("div", { role: "status", class: "opskit-hint" });
  const banner = h("div", { "aria-live": "assertive" });
  const actions = h("div", { class: "opskit-row opskit-actions", role: "group", "aria-label": "Actions" });
  const body = h("div", { class: "opskit-page" });
  const logs = h("div", { class: "opskit-logs" });
  const root = h("section", { class: "opskit-form", "aria-label": model.get("title") }, head, aloud, silence, banner, actions, said, body, logs);
  const below = h("div", { class: "opskit-belows" });
  el.replaceChildren(root, below);
  // JupyterLab's shortcuts must not see what is typed here.
  for (const kind of ["keydown", "keyup", "keypress"]) root.addEventListener(kind, (event) => event.stopPropagation());
  root.dataset.lmSuppressShortcuts = "true";
  const buttons = new Map();

  const send = async (type, more = {}) => tell({ type, tab, who: await whoami(), ...more });
  const panels = formsBelow(model, memory, {
    place: (all) => {
      const now = all.map(([, element]) => element).reverse();
      for (const one of [...below.children]) if (!now.includes(one)) one.remove();
      now.forEach((one, at) => { if (below.children[at] !== one) below.insertBefore(one, below.children[at] ?? null); });
    },
    close: (form) => send("close", { form }),
    closed: (at) => (buttons.get(at) ?? actions.firstElementChild).focus(),
  });
  function open({ kind, secret = "", at, finding = "" }) {
    panels.expect(at);
    send("open", { kind, secret, finding });
  }
  /** A button that opens a form; one that does not apply says why when it is asked. */
  function opener(action, name, style) {
    const why = action.obstacle;
    const one = button(action.label, () => { if (why) said.textContent = `${action.label.replace("…", "")}: ${why}`; else { said.textContent = ""; open(action); } }, style);
    if (why) { one.setAttribute("aria-disabled", "true"); one.title = why; }
    if (name) one.setAttribute("aria-label", `${action.label} ${name}`);
    buttons.set(action.at, one);
    return one;
  }

  function facts(now) {
    const { page } = now;
    const about = page.facts.map((fact) => [fact.word,
      fact.text || h("ul", { class: "opskit-releases" }, ...fact.releases.map((one) => h("li", {}, h("b", {}, one.version), one.note && ` ${one.note}`)))]);
    const ask = button(now.asking ? "Asking…" : "Does it answer?", () => { send("ask"); }, "opskit-quiet");
    ask.disabled = now.asking;
    const answer = now.answer && h("span", { class: "opskit-answer" }, dot(now.answer.tone), now.answer.text);
    if (page.url) about.push(["Address", h("span", { class: "opskit-address" }, h("a", { href: page.url, target: "_blank", rel: "noopener noreferrer" }, page.url), ask, h("span", { role: "status" }, answer || ""))]);
    return h("dl", { class: "opskit-about" }, ...about.flatMap(([word, value]) => [h("dt", {}, word), h("dd", {}, value)]));
  }
  function services({ page }) {
    return section("Services", page.services, page.nothing, (all) => table("Services", ["Service", "Tasks", "Health", "Image", ""], all.map((one) => ({
      cells: [h("span", { class: "opskit-service" }, dot(one.tone), one.name), one.tasks, one.stands, one.image,
        h("span", { class: "opskit-last" }, (() => { const ask = button("Logs", () => { logs.replaceChildren(h("p", { class: "opskit-hint" }, `Reading what ${one.name} wrote…`)); send("logs", { service: one.name }); }, "opskit-quiet"); ask.setAttribute("aria-label", `Logs of ${one.name}`); return ask; })())],
      note: one.error && `${one.error_is}${one.error_at ? ` (${moment(one.error_at)})` : ""}: ${one.error}`,
    }))));
  }
  function secrets({ page }) {
    return section("Secrets", page.secrets, page.nothing, (all) => table("Secrets", ["Secret", "Version", "State", "Age", "Used by", ""], all.map((one) => ({
      cells: [h("span", { class: one.declared ? "" : "opskit-hint" }, one.secret), one.version, state(one.state), days(one.age_days), one.used_by.join(", "),
        one.action && h("span", { class: "opskit-last" }, opener(one.action, one.secret, "opskit-quiet"))],
    }))));
  }
  function findings({ page }) {
    return section("Findings", page.findings, page.nothing, (all) => h("ul", { class: "opskit-findings" }, ...all.map((one) => h("li", {},
      h("span", { class: `opskit-severity opskit-severity-${one.severity}` }, one.severity),
      h("div", {}, h("div", {}, one.what), h("div", { class: "opskit-remedy" }, "→ ", one.remedy)),
      one.action && opener({ ...one.action, finding: one.key }, one.secret, "opskit-quiet")))));
  }
  function runs({ page }) {
    return section("Last runs", page.last_runs, page.no_runs, (all) => table("Last runs", ["When", "What", "Who", "How it ended"], all.map((one) => ({
      cells: [moment(one.started_at), one.did, one.who, h("span", { title: one.run, class: "opskit-service" }, dot(one.tone), one.status)],
    }))));
  }

  function drawLogs() {
    const told = memory.logs;
    if (!told) { logs.replaceChildren(); return; }
    const close = button("Close", () => { memory.logs = null; drawLogs(); }, "opskit-quiet");
    close.setAttribute("aria-label", `Close the logs of ${told.service}`);
    const lines = h("pre", { class: "opskit-lines", tabindex: 0, role: "region", "aria-label": `Logs of ${told.service}` },
      told.error || (told.lines.length ? told.lines.map((one) => `${one.time.slice(0, 19).replace("T", " ")}  ${one.line}`).join("\n") : "It wrote nothing that is kept."));
    logs.replaceChildren(h("div", { class: "opskit-below-head" }, h("h4", {}, `Logs of ${told.service}`, h("span", { class: "opskit-count" }, told.lines.length ? ` last ${told.lines.length} lines, shown to you only` : "")), close), lines);
    lines.scrollTop = lines.scrollHeight;
  }

  function show() {
    const now = model.get("state");
    if (!now.app) return;
    const { page } = now;
    const reread = button("Read again", () => send("read"), "opskit-quiet");
    reread.disabled = now.reading;
    head.replaceChildren(h("h3", {}, page ? page.app : now.app), page ? h("span", { class: "opskit-hint" }, `${page.server}, read ${moment(page.taken_at)}`) : "", reread);
    const words = now.reading && !page ? "Reading its server…" : page ? page.headline : "";
    aloud.replaceChildren(...(page ? [dot(page.tone), words] : [words]), now.reading && page ? h("span", { class: "opskit-hint" }, " Reading again…") : "");
    banner.replaceChildren(...(now.error ? [h("p", { class: "opskit-error", role: "alert" }, now.error)] : []));
    if (!page) return;
    // A click that is under way keeps its focus: it is given back by the button's place.
    const held = [...buttons].find(([, one]) => one === document.activeElement)?.[0];
    buttons.clear();
    actions.replaceChildren(...now.actions.map((one) => opener(one, "", one.apart ? "opskit-apart" : "")));
    body.replaceChildren(facts(now), ...page.notes.map((one) => h("p", { class: "opskit-warning" }, one)), services(now), secrets(now), findings(now), runs(now));
    if (held) buttons.get(held)?.focus();
  }
  function received(message) {
    if (message.tab !== tab) return;
    heard();
    if (message.type !== "logs") return;
    memory.logs = message;
    drawLogs();
    logs.scrollIntoView({ block: "nearest" });
    logs.querySelector(".opskit-lines").focus({ preventScroll: true });
  }
  const changed = () => { heard(); show(); };
  model.on("change:state", changed);
  model.on("change:opened", heard);
  model.on("msg:custom", received);
  model.on("comm_live_update", ping);
  drawLogs();
  show();
  ping();
  return () => {
    forget();
    panels.stop();
    model.off("change:state", changed);
    model.off("change:opened", heard);
    model.off("msg:custom", received);
    model.off("comm_live_update", ping);
  };
}

// Called once for each page, however many views it gets.
export default () => {
  const memory = memoryOfTab();
  return { render: (view) => render(view, memory) };
};
