"""How a simulated task behaves, read from the same spec fields that would decide it for real."""

# The Engine API's JSON is kept as it is on the wire.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false

from __future__ import annotations

from typing import Any, Literal

Fate = Literal["runs", "crashes", "no-image", "no-node", "unhealthy"]

FAILS_WITH = "opskit.demo.fails-with"
"""A service label: tasks crash when they mount the secret of this name."""

COMPLAINTS = {
    "crashes": "task: non-zero exit (1)",
    "unhealthy": "task: non-zero exit (137): dockerexec: unhealthy container",
    "no-image": "No such image: {image}",
    "no-node": "no suitable node (scheduling constraints not satisfied on 1 node)",
}


def fate(spec: dict[str, Any]) -> Fate:
    """Tell what becomes of a task of this service spec."""
    template: dict[str, Any] = spec.get("TaskTemplate") or {}
    container: dict[str, Any] = template.get("ContainerSpec") or {}
    if _unsatisfied((template.get("Placement") or {}).get("Constraints") or []):
        return "no-node"
    if "missing" in container.get("Image", ""):
        return "no-image"
    command = [*(container.get("Command") or []), *(container.get("Args") or [])]
    if command and command[-1].strip() in ("false", "exit 1"):
        return "crashes"
    test = (container.get("Healthcheck") or {}).get("Test") or []
    if test and test[-1].strip() in ("false", "exit 1"):
        return "unhealthy"
    culprit = (spec.get("Labels") or {}).get(FAILS_WITH)
    names = [reference.get("SecretName") for reference in container.get("Secrets") or []]
    return "crashes" if culprit and culprit in names else "runs"


def _unsatisfied(constraints: list[str]) -> bool:
    return any(
        not constraint.replace(" ", "").startswith(("node.role==manager", "node.role!=worker"))
        for constraint in constraints
    )
