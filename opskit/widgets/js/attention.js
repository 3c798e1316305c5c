// The board of findings: filtered here, acted on by the kernel; a card's form is a widget of its own.
import { formsBelow } from "./below.js";
import { button, h, labelled } from "./dom.js";
import { hearing } from "./hearing.js";
import { tab } from "./seal.js";
import { whoami } from "./whoami.js";

const AT_ONCE = 25;
const sum = (groups) => groups.reduce((count, one) => count + one.cards.length, 0);
const many = (count, noun) => `${count.toLocaleString()} ${noun}${count === 1 ? "" : "s"}`;
const placeOf = (card) => [...card.secrets, card.app].filter(Boolean).join(" · ") || card.server || "all servers";
const whereOf = (card, check = card.check) => [h("strong", {}, placeOf(card)), h("span", { class: "opskit-hint" }, [placeOf(card) !== card.server && card.server, check].filter(Boolean).join(" · "))];
const remedyOf = (remedy) => h("p", { class: "opskit-remedy" }, h("span", { "aria-hidden": "true" }, "→ "), remedy);
const committing = (box) => h("label", { title: "opskit.toml in the server's folder, which colleagues have from its repository." }, box, " Commit opskit.toml");
/** The places of a card's forms. */
const keysOf = (card) => card.acts.map((act) => act.key);
const level = (severity) => h("span", { class: `opskit-level opskit-level-${severity}` }, severity);

/** What this tab must not lose when JupyterLab makes the view anew. */
const memoryOfTab = () => ({ levels: new Set(), server: "", words: "", shown: AT_ONCE, unfolded: new Set(), spots: {}, drafts: {}, name: null, expected: null, focus: null });
const ABLE = "button, input, select, summary";

function render({ model, el }, memory) {
  const when = h("span", { class: "opskit-hint" });
  const { silence, heard, tell, ping, forget } = hearing(model);
  const aloud = h("div", { role: "status", class: "opskit-aloud" });
  const banner = h("div", { "aria-live": "assertive" });
  const levels = h("div", { class: "opskit-levels", role: "group", "aria-label": "Severity" });
  const server = h("select", { class: "opskit-input", "aria-label": "Server" });
  const search = h("input", { type: "search", class: "opskit-input", placeholder: "app, secret, check …" });
  const again = button("Read again", () => send("again"), "opskit-quiet");
  const header = h("div", { class: "opskit-head" }, h("h3", {}, model.get("title")), when, again);
  const filters = h("div", { class: "opskit-row opskit-filters" }, levels, server, labelled("Search findings", search));
  const begun = h("ul", { class: "opskit-cards", "aria-label": "Gone" });
  const list = h("ul", { class: "opskit-cards", "aria-label": "Findings" });
  const rest = h("div", { class: "opskit-rest" });
  const root = h("section", { class: "opskit-form opskit-attention", "aria-label": model.get("title") }, header, silence, aloud, banner, filters, begun, list, rest);
  // JupyterLab's shortcuts must not see what is typed here.
  for (const kind of ["keydown", "keyup", "keypress", "paste"]) root.addEventListener(kind, (event) => event.stopPropagation());
  root.dataset.lmSuppressShortcuts = "true";
  el.replaceChildren(root);
  const drawn = new Map();
  // The panels of open forms by their cards' keys.
  let panels = new Map();
  search.value = memory.words;

  // JupyterLab makes all views anew when a colleague's run ends: whoever typed goes on typing.
  root.addEventListener("focusin", ({ target }) => {
    const place = target.closest("[data-key]");
    memory.focus = { key: place?.dataset.key, at: [...(place ?? root).querySelectorAll(ABLE)].indexOf(target) };
  });
  root.addEventListener("focusout", () => setTimeout(() => { if (root.isConnected && !root.contains(document.activeElement)) memory.focus = null; }));
  const cardOfKey = (key) => [...root.querySelectorAll("[data-key]")].find((one) => one.dataset.key === key);
  function focusAgain() {
    if (!memory.focus || document.activeElement !== document.body) return;
    const { key, at } = memory.focus;
    const place = key ? cardOfKey(key) : root;
    place?.querySelectorAll(ABLE)[at]?.focus({ preventScroll: true });
  }

  const send = async (type, more = {}) => tell({ type, tab, who: await whoami(), ...more });

  // -- a card ----------------------------------------------------------------------------

  function lettingBe(card, close) {
    const [first, last, usual] = model.get("state").days;
    const draft = (memory.drafts[card.key] ??= { until: usual, why: "", commit: false });
    const until = h("input", { type: "date", class: "opskit-input", min: first, max: last, required: true });
    const why = h("input", { type: "text", class: "opskit-input opskit-why", maxlength: 500, required: true, autocomplete: "off" });
    const name = h("input", { type: "text", class: "opskit-input", maxlength: 80, required: true, autocomplete: "name" });
    const commit = h("input", { type: "checkbox", checked: draft.commit });
    const note = h("span", { class: "opskit-hint", role: "status" });
    until.value = draft.until;
    why.value = draft.why;
    if (memory.name !== null) name.value = memory.name;
    else whoami().then((who) => {
      // A made-up name helps no colleague who reads it in a year.
      if (memory.name === null && !name.value && who && !who.made_up) name.value = who.name;
    });
    const keep = () => { Object.assign(draft, { until: until.value, why: why.value, commit: commit.checked }); memory.name = name.value; };
    const go = button("Acknowledge", () => {
      keep();
      const missing = [[why, "Say why."], [name, "Say who you are."], [until, "Choose a day within a year."]].find(([field]) => !field.value.trim() || !field.validity.valid);
      if (missing) { note.textContent = missing[1]; missing[0].focus(); return; }
      send("acknowledge", { key: card.key, keys: card.keys, until: until.value, why: why.value, name: name.value, commit: commit.checked });
    }, "opskit-primary");
    const element = h("div", { class: "opskit-letting" },
      h("div", { class: "opskit-row" }, labelled("Why", why), labelled("Until", until), labelled("Your name", name)),
      h("div", { class: "opskit-row opskit-actions" }, go, button("Cancel", () => { delete memory.drafts[card.key]; close(); }, "opskit-quiet"),
        committing(commit), note));
    for (const field of [until, why, name, commit]) field.addEventListener("input", keep);
    return { element, focus: () => why.focus() };
  }

  function cardOf(card, opened, { kind, remedy }) {
    const place = placeOf(card);
    const [below, slot] = [h("div", {}), h("div", { class: "opskit-slot" })];
    const acknowledge = button("Acknowledge until…", () => toggle(), "opskit-quiet");
    acknowledge.setAttribute("aria-label", `Acknowledge until… ${card.check}, ${place}`);
    function toggle(focus = true) {
      const close = () => { below.replaceChildren(); acknowledge.setAttribute("aria-expanded", "false"); acknowledge.focus(); };
      if (below.childElementCount) { delete memory.drafts[card.key]; return close(); }
      const form = lettingBe(card, close);
      below.replaceChildren(form.element);
      acknowledge.setAttribute("aria-expanded", "true");
      if (focus) form.focus();
    }
    acknowledge.setAttribute("aria-expanded", "false");
    const acts = card.acts.filter(({ key }) => !opened.includes(key)).map(({ key, label, secrets }) => {
      const act = button(label, () => { forms.expect(key); act.disabled = true; setTimeout(() => { act.disabled = false; }, 3000); send("open", { key }); }, "opskit-primary");
      act.setAttribute("aria-label", `${label} ${card.check}, ${placeOf({ ...card, secrets })}`);
      return act;
    });
    const element = h("li", { class: `opskit-card opskit-card-${card.severity} ${kind}`, "data-key": card.key },
      h("div", { class: "opskit-card-what" },
        h("div", { class: "opskit-card-head" }, !kind && level(card.severity), ...whereOf(card, kind ? "" : card.check), h("code", { class: "opskit-key", title: "Its key, as opskit audit shows it" }, card.keys.join(" "))),
        ...card.what.map((one) => h("p", {}, one)),
        card.remedy !== remedy && remedyOf(card.remedy)),
      h("div", { class: `opskit-card-acts ${card.acts.length > 1 ? "opskit-card-several" : ""}` }, ...acts, acknowledge), below, slot);
    if (memory.drafts[card.key]) toggle(false);
    return { element, slot };
  }

  /** The same element while nothing of it changes: somebody may be typing in it. */
  function kept(card, open, how = { kind: "", remedy: "" }) {
    const opened = keysOf(card).filter((key) => open[key]);
    const seen = JSON.stringify([card, opened, how]);
    if (drawn.get(card.key)?.seen !== seen) drawn.set(card.key, { seen, ...cardOf(card, opened, how) });
    return withForms(keysOf(card), drawn.get(card.key));
  }
  function withForms(keys, { element, slot }) {
    put(slot, keys.flatMap((key) => panels.get(key) ?? []));
    return element;
  }

  // -- all of it ---------------------------------------------------------------------------

  const everyCard = () => { const { cards = [], info = [] } = model.get("found"); return [...cards, ...info.flatMap((one) => one.cards)]; };
  const fits = (card) => {
    const text = [card.check, card.server, card.app, ...card.secrets, ...card.what, ...card.keys].join(" ").toLowerCase();
    return (!memory.levels.size || memory.levels.has(card.severity)) && (!memory.server || card.server === memory.server)
      && memory.words.toLowerCase().split(/\s+/).filter(Boolean).every((word) => text.includes(word));
  };
  const put = (parent, children) => {
    const stays = new Set(children);
    for (const one of [...parent.children]) if (!stays.has(one)) one.remove();
    children.forEach((one, at) => { if (parent.children[at] !== one) parent.insertBefore(one, parent.children[at] ?? null); });
  };

  /** A list that is folded until somebody wants it, and filled then; it stays the same element. */
  function folded(name, summary, label, items, remedy = "") {
    let one = drawn.get(`folded ${name}`);
    if (!one) {
      const head = h("summary", {});
      const inner = h("ul", { class: "opskit-cards", "aria-label": label });
      const element = h("details", { class: "opskit-folded", open: memory.unfolded.has(name) }, head, remedy && remedyOf(remedy), inner);
      one = { head, inner, element, items };
      element.addEventListener("toggle", () => {
        memory.unfolded[element.open ? "add" : "delete"](name);
        if (element.open) put(inner, one.items());
      });
      drawn.set(`folded ${name}`, one);
    }
    one.items = items;
    if (one.head.textContent !== summary) one.head.textContent = summary;
    if (memory.unfolded.has(name)) put(one.inner, items());
    return one.element;
  }

  function drawFilters(found) {
    const count = Object.fromEntries(found.severities.map((one) => [one, found.cards.filter((card) => card.severity === one).length]));
    count.info = sum(found.info);
    const chips = found.severities.filter((one) => count[one] || memory.levels.has(one)).map((one) => {
      const pressed = memory.levels.has(one);
      const chip = button(`${count[one].toLocaleString()} ${one}`, () => {
        memory.levels[pressed ? "delete" : "add"](one);
        draw();
        [...levels.children].find((each) => each.dataset.level === one)?.focus();
      }, `opskit-level opskit-level-${one}`);
      chip.dataset.level = one;
      chip.setAttribute("aria-pressed", String(pressed));
      return chip;
    });
    levels.replaceChildren(...chips);
    const names = [...new Set(everyCard().map((card) => card.server))].filter(Boolean).sort();
    if (memory.server && !names.includes(memory.server)) names.push(memory.server);
    server.replaceChildren(h("option", { value: "" }, "any server"), ...names.map((name) => h("option", { value: name }, name)));
    server.value = memory.server;
  }

  function draw() {
    const found = model.get("found");
    const ready = Boolean(found.cards);
    filters.hidden = !ready;
    if (!ready) return;
    drawFilters(found);
    const open = Object.fromEntries(model.get("opened").map((one) => [one.at, one]));
    const there = new Set(everyCard().flatMap(keysOf));
    const suit = found.cards.filter((card) => fits(card) || keysOf(card).some((key) => open[key]));
    const shown = suit.slice(0, memory.shown);
    const items = shown.map((card) => kept(card, open));
    shown.forEach((card, spot) => keysOf(card).filter((key) => open[key]).forEach((key) => { memory.spots[key] = spot; }));
    // A form stays when its finding has gone, where it was: it says what was done, and how to undo it.
    const gone = Object.values(open).filter(({ at }) => !there.has(at));
    put(begun, gone.filter(({ at }) => !(at in memory.spots)).map(goneOf));
    for (const one of gone.filter(({ at }) => at in memory.spots)) items.splice(memory.spots[one.at], 0, goneOf(one));
    put(list, items);
    [begun, list].forEach((one) => { one.hidden = !one.childElementCount; });
    const more = suit.length - shown.length;
    const info = found.info.map((group) => ({ ...group, cards: group.cards.filter(fits) })).filter((group) => group.cards.length);
    const acknowledged = found.acknowledged.filter((card) => fits({ ...card, severity: [...memory.levels][0] ?? card.severity }));
    const none = found.cards.length || found.info.length ? "No finding fits." : "Nothing needs attention.";
    put(rest, [
      !suit.length && !info.length && h("p", { class: "opskit-hint" }, none),
      more > 0 && button(`Show ${Math.min(more, AT_ONCE)} more of ${more.toLocaleString()}`, () => { memory.shown += AT_ONCE; draw(); }),
      ...info.map(({ check, title, cards, remedy }) => folded(check,
        `${title} · ${many(cards.length, "finding")} on ${many(new Set(cards.map((card) => card.server)).size, "server")}`, title,
        () => cards.map((card) => kept(card, open, { kind: "opskit-slim", remedy })), remedy)),
      acknowledged.length > 0 && folded("acknowledged", `${many(acknowledged.length, "finding")} acknowledged`, "Acknowledged", () => acknowledged.map(letBe)),
    ].filter(Boolean));
  }

  function letBe(card) {
    const name = `acknowledged ${card.key}`;
    const seen = JSON.stringify(card);
    if (drawn.get(name)?.seen === seen) return drawn.get(name).element;
    const below = h("div", {});
    const open = button("Withdraw…", () => {
      if (below.childElementCount) { below.replaceChildren(); open.setAttribute("aria-expanded", "false"); return; }
      const commit = h("input", { type: "checkbox" });
      const go = button("Withdraw", () => send("withdraw", { key: card.key, commit: commit.checked }), "opskit-primary");
      below.replaceChildren(h("div", { class: "opskit-row opskit-actions opskit-letting" }, h("span", {}, "Then it is a finding again, for all who share opskit.toml."), go, committing(commit)));
      open.setAttribute("aria-expanded", "true");
      go.focus();
    }, "opskit-quiet");
    open.setAttribute("aria-expanded", "false");
    open.setAttribute("aria-label", `Withdraw… ${card.check}, ${placeOf(card)}`);
    const element = h("li", { class: "opskit-card opskit-slim" },
      h("div", { class: "opskit-card-what" },
        h("div", { class: "opskit-card-head" }, level(card.severity), ...whereOf(card)),
        h("p", {}, card.what.join(" ")), h("p", { class: "opskit-remedy" }, `By ${card.who} until ${card.until}: ${card.why}`)),
      h("div", { class: "opskit-card-acts" }, open), below);
    drawn.set(name, { seen, element });
    return element;
  }

  function goneOf({ at, form, about }) {
    if (!drawn.has(`gone ${form}`)) {
      const slot = h("div", {});
      const element = h("li", {}, h("div", { class: "opskit-gone", role: "group", "aria-label": `Gone: ${placeOf(about)}` },
        h("div", { class: "opskit-card-head" }, h("span", { class: "opskit-level opskit-level-gone" }, "gone"), ...whereOf(about)), slot));
      drawn.set(`gone ${form}`, { element, slot });
    }
    return withForms([at], drawn.get(`gone ${form}`));
  }

  function show() {
    const now = model.get("state");
    when.textContent = when.title = [now.read_at && `read ${now.read_at}`, now.missing].filter(Boolean).join(" · ");
    const words = now.busy || now.said;
    if (aloud.dataset.words !== words) {
      aloud.dataset.words = words;
      aloud.replaceChildren(words ? h("p", { class: now.busy ? "opskit-busy" : "opskit-said-so" }, now.busy && h("span", { class: "opskit-spinner", "aria-hidden": "true" }), words) : "");
    }
    banner.replaceChildren(now.error ? h("p", { class: "opskit-error", role: "alert" }, now.error) : "");
    again.disabled = Boolean(now.busy);
    draw();
  }

  search.addEventListener("input", () => { memory.words = search.value; memory.shown = AT_ONCE; draw(); });
  server.addEventListener("input", () => { memory.server = server.value; memory.shown = AT_ONCE; draw(); });
  const changed = () => { heard(); show(); };
  const received = (message) => { if (message.tab === tab) heard(); };
  model.on("change:state", changed);
  model.on("change:found", changed);
  model.on("msg:custom", received);
  model.on("comm_live_update", ping);
  const forms = formsBelow(model, memory, {
    place: (all) => { panels = new Map(all); draw(); },
    close: (form) => send("close", { form }),
    closed: (key) => (cardOfKey(everyCard().find((card) => keysOf(card).includes(key))?.key)?.querySelector(ABLE) ?? search).focus(),
  });
  show();
  ping();
  requestAnimationFrame(focusAgain);
  return () => {
    forget();
    forms.stop();
    model.off("change:state", changed);
    model.off("change:found", changed);
    model.off("msg:custom", received);
    model.off("comm_live_update", ping);
  };
}

// Called once for each board, however many views it gets.
export default () => {
  const memory = memoryOfTab();
  return { render: (view) => render(view, memory) };
};
