"""The labels by which abra knows what it deployed, on the service called ``app``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from opskit.abra.compose import Compose
from opskit.abra.interpolate import interpolate

APP_SERVICE = "app"
"""The service of a recipe that abra reads and writes labels at."""


LOCATORS = frozenset({"DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY"})
"""What tells docker where the engine is that no context names."""

TAKEN = frozenset({"PATH", "SSH_AUTH_SOCK", "DOCKER_CONFIG"}) | LOCATORS
"""Variables by which docker itself finds ssh and the engine, so that it cannot have an app's."""


def beside(name: str) -> str:
    """Give the variable in which docker has an app's value of one that is taken."""
    return f"OPSKIT_APP_{name}"


def label(stack: str, name: str) -> str:
    """Give a label's key, such as ``coop-cloud.shop_example.version``."""
    return f"coop-cloud.{stack}.{name}"


def claimed(compose: Compose, stack: str, variables: Mapping[str, str]) -> dict[str, str]:
    """Give what a recipe's own labels say: ``version``, ``timeout`` and the like."""
    service = compose.services.get(APP_SERVICE)
    if service is None:
        return {}
    prefix = label(stack, "")
    found: dict[str, str] = {}
    for key, value in service.labels.items():
        if key.startswith("coop-cloud."):
            full = interpolate(key, variables).text
            if full.startswith(prefix):
                found[full.removeprefix(prefix)] = interpolate(value, variables).text
    return found


def overlay(compose: Compose, labels: Mapping[str, str], variables: Iterable[str]) -> str:
    """Give a compose file that adds to the service ``app`` what abra adds when it deploys.

    Parameters
    ----------
    compose
        The recipe's files, merged.
    labels
        Keys and values for ``deploy.labels``; they win over the recipe's.
    variables
        Names of the whole environment: those the service does not set itself are handed on to
        it, which config templates rely on. Names only, the docker CLI takes the values from its
        own environment, those of `TAKEN` from `beside` them.

    Returns
    -------
    str
        JSON, which is YAML; empty when the recipe has no such service.
    """
    service = compose.services.get(APP_SERVICE)
    if service is None:
        return ""
    added = {
        "deploy": {"labels": {_literal(key): _literal(value) for key, value in labels.items()}},
        "environment": [
            f"{name}=${{{beside(name)}}}" if name in TAKEN else name
            for name in sorted(set(variables) - service.variables)
        ],
    }
    # The docker CLI merges only files that claim one version.
    claim = {"version": compose.version} if compose.version else {}
    return json.dumps({**claim, "services": {APP_SERVICE: added}}, indent=1)


def _literal(text: str) -> str:
    return text.replace("$", "$$")
