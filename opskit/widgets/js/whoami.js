// Who the Jupyter server says is at this browser. The kernel treats it as a claim.

const KEPT = "opskit:name";
let asked = null;

function baseUrl() {
  try {
    return JSON.parse(document.getElementById("jupyter-config-data").textContent).baseUrl || "/";
  } catch {
    return "/";
  }
}

/** A server that gives people no colour leaves the choice to JupyterLab, which keeps it here. */
function asJupyterLabShows(username) {
  try {
    const kept = JSON.parse(localStorage.getItem("@jupyterlab/services:UserManager#user"));
    return kept?.username === username ? kept : {};
  } catch {
    return {};
  }
}

/** The name that somebody gave here where the server would not keep it. */
function keptHere(username) {
  try {
    const kept = JSON.parse(localStorage.getItem(KEPT));
    return kept?.username === username ? kept.name : null;
  } catch {
    return null;
  }
}

/** Have the server call this person so, and JupyterLab with it. */
export async function rename(name) {
  const who = await whoami();
  const initials = name.split(/\s+/).map((part) => part[0]).slice(0, 2).join("").toUpperCase();
  const token = document.cookie.match(/(?:^|; )_xsrf=([^;]*)/)?.[1] ?? "";
  const reply = await fetch(`${baseUrl()}api/me`, {
    method: "PATCH", credentials: "same-origin",
    headers: { "Content-Type": "application/json", "X-XSRFToken": decodeURIComponent(token) },
    body: JSON.stringify({ name, display_name: name, initials }),
  }).catch(() => null);
  if (!reply?.ok) localStorage.setItem(KEPT, JSON.stringify({ username: who?.username, name }));
  asked = null;
}

async function ask() {
  try {
    const reply = await fetch(`${baseUrl()}api/me`, { credentials: "same-origin" });
    const { identity } = await reply.json();
    const shown = asJupyterLabShows(identity.username);
    const name = keptHere(identity.username) || identity.display_name || identity.name;
    return {
      username: identity.username,
      name,
      // Jupyter gives no other sign of it; `opskit.jupyter.named` goes by the same.
      made_up: /^Anonymous /.test(name),
      initials: identity.initials || shown.initials,
      color: identity.color || shown.color,
    };
  } catch {
    // Asked again at the next click: the network may be back.
    asked = null;
    return null;
  }
}

export const whoami = () => (asked ??= ask());
