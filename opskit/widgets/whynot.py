"""Why a form can do nothing with a secret or an app, said before anybody plans it.

Whatever else stands in the way, the plan says.
"""

# pandas ships partial types.
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from opskit.facts.join import not_generated


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretState:
    """What a form knows of a secret when it tells whether it can do something with it.

    `declared` is false where no app declares it, as far as is known. `side_door` says why a new
    value would lock the app out of its database, if it would, `apart` why it can have no other
    version, and `shared` why not alone.
    """

    state: str | None
    exists: bool
    used: bool
    generate: bool
    superseded: int
    driver: str | None
    templating: str | None
    side_door: str = ""
    apart: str = ""
    shared: str = ""
    declared: bool = True


def not_absent(secret: SecretState) -> str:
    """Return why no declared version is made of it."""
    if secret.state not in ("missing", "undeployed") or secret.exists:
        return "It exists: rotate it instead."
    return _not_made_up(secret) or secret.side_door


def not_renewable(secret: SecretState) -> str:
    """Return why it gets no new, generated version."""
    if obstacle := _not_made_up(secret) or secret.apart:
        return obstacle
    return "It is not in the swarm: generate it instead." if secret.state == "missing" else ""


def _not_made_up(secret: SecretState) -> str:
    """Return why no value is made up: it is a driver's, a template's, or comes from elsewhere."""
    if why := not_generated(secret.driver, secret.templating):
        return f"{why[0].upper()}{why[1:]}."
    return "" if secret.generate else "Not generated: insert it."


def not_insertable(secret: SecretState) -> str:
    """Return why no given value is stored for it."""
    why = not_generated(secret.driver, None)
    if why:
        return f"{why[0].upper()}{why[1:]}."
    # At a declared version that is absent nothing else changes.
    return (secret.apart or secret.shared) if secret.exists else ""


def not_removable(secret: SecretState) -> str:
    """Return why it is not removed."""
    if secret.state == "unknown" and not secret.declared:
        return "Nobody knows whether an app declares it."
    if secret.used and not secret.declared:
        return "Services use it: find whose it is."
    if secret.used:
        return "Services use it: take the app down first, or rotate it and prune."
    return "" if secret.exists else "It is not in the swarm."


def not_superseded(secret: SecretState) -> str:
    """Return why there is nothing of it to prune."""
    return "" if secret.superseded else "It has no superseded version."


def not_deployed(row: Any) -> str:
    """Return why nothing runs of an app, given its row of the apps view."""
    return "" if row.deployed else "It is not deployed."


def not_upgradable(row: Any) -> str:
    """Return why an app gets no later release, given its row of the apps view."""
    return not_deployed(row) or ("" if later_releases(row) else "No later release is known here.")


def later_releases(row: Any) -> list[str]:
    """Return the known releases later than what runs; none where nobody can tell."""
    return list(row.upgrades) if isinstance(row.upgrades, list | tuple) else []
