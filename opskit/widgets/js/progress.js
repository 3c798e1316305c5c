// The steps of a run as they happen, and their outcome.
import { button, h, list } from "./dom.js";

const SIGNS = { running: "…", done: "✓", failed: "✗" };

export function progressList() {
  const list = h("ol", { class: "opskit-steps", "aria-label": "Steps", tabindex: 0 });
  let last = [];
  let follow = true;
  const toEnd = () => { if (follow) list.scrollTop = list.scrollHeight; };
  list.addEventListener("scroll", () => { follow = list.scrollTop + list.clientHeight >= list.scrollHeight - 8; });
  // A view is filled before it is on the page, and has no height to scroll until then.
  new ResizeObserver(toEnd).observe(list);
  function show(steps) {
    last = steps;
    if (steps.length < list.childElementCount) { list.replaceChildren(); follow = true; }
    steps.forEach((step, place) => {
      const line = list.children[place] ?? list.appendChild(h("li"));
      const seen = `${step.status}${step.error}${step.waits_for}`;
      if (line.dataset.seen === seen) return;
      line.dataset.seen = seen;
      const what = `${step.phase === "undo" ? "undo " : ""}${step.action}`;
      line.className = `opskit-step opskit-${step.status}`;
      line.replaceChildren(
        h("span", { class: "opskit-sign", "aria-label": step.status }, SIGNS[step.status] ?? ""),
        h("span", { class: "opskit-app", title: step.app }, step.app), h("span", { class: "opskit-action" }, what),
        h("span", { class: "opskit-subject", title: step.subject }, step.subject),
        h("span", { class: "opskit-time" }, step.status === "running" ? "" : `${step.seconds.toFixed(1)} s`),
        step.error ? h("span", { class: "opskit-step-error" }, step.error) : "",
        step.status === "running" && step.waits_for ? h("span", { class: "opskit-step-waits" }, `waits for ${step.waits_for}`) : "");
    });
    toEnd();
  }
  function tick() {
    last.forEach((step, place) => {
      if (step.status !== "running" || !list.children[place]) return;
      // Since the kernel began it, also for who opens the notebook later; its clock may be ahead.
      const seconds = Math.max(0, Math.round(Date.now() / 1000 - step.began));
      list.children[place].querySelector(".opskit-time").textContent = `${seconds} s`;
    });
  }
  return { element: list, show, tick };
}

export function resultView(result, { tab, take, reveal, another }) {
  const counted = Object.entries(result.stacks).map(([status, count]) => `${count} ${status}`).join(", ");
  const mine = result.tab === tab ? result.revealable : [];
  return h("div", { class: "opskit-result" },
      h("p", { class: "opskit-hint" }, `run ${result.run} · stacks: ${counted}`),
      list(result.errors),
      list(result.notes),
      mine.length ? h("div", { class: "opskit-row" }, h("span", {}, "New values, for you only and once:"),
        ...mine.map(({ key, label }) => { const one = button(`Reveal ${label}`, () => { one.disabled = true; reveal(key); }, "opskit-quiet"); return one; })) : "",
      h("div", { class: "opskit-row opskit-actions" },
        ...result.ways.map(({ way, label }, place) => button(label, () => take(way, result.run), place < result.ways.length - 1 ? "opskit-primary" : "")),
        another && button(another.label, another.go, "opskit-quiet")));
}

/** One revealed value: hidden until shown; `forget` lets it go for good. */
export function revealed(name, bytes, forget) {
  const text = new TextDecoder().decode(bytes);
  const value = h("input", { type: "password", class: "opskit-input", readonly: "", "aria-label": `New value of ${name}`, autocomplete: "off" });
  value.value = text;
  const show = button("Show", () => {
    value.type = value.type === "password" ? "text" : "password";
    show.textContent = value.type === "password" ? "Show" : "Hide";
  }, "opskit-quiet");
  return h("div", { class: "opskit-row" }, h("span", { class: "opskit-label" }, name), value,
    show,
    button("Copy", () => navigator.clipboard.writeText(text), "opskit-quiet"),
    button("Forget", () => { value.value = ""; bytes.fill(0); forget(); }, "opskit-quiet"));
}
