// Who the Jupyter server says is at this browser. The kernel treats it as a claim.

let asked = null;

function baseUrl() {
  try {
    return JSON.parse(document.getElementById("jupyter-config-data").textContent).baseUrl || "/";
  } catch {
    return "/";
  }
}

async function ask() {
  try {
    const reply = await fetch(`${baseUrl()}api/me`, { credentials: "same-origin" });
    const { identity } = await reply.json();
    return {
      username: identity.username,
      name: identity.display_name || identity.name,
      initials: identity.initials,
      color: identity.color,
    };
  } catch {
    return null;
  }
}

export const whoami = () => (asked ??= ask());
