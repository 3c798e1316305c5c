// Who the Jupyter server says is at this browser. The kernel treats it as a claim.

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

async function ask() {
  try {
    const reply = await fetch(`${baseUrl()}api/me`, { credentials: "same-origin" });
    const { identity } = await reply.json();
    const shown = asJupyterLabShows(identity.username);
    return {
      username: identity.username,
      name: identity.display_name || identity.name,
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
