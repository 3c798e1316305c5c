"""What becomes of a task is read from its service's spec."""

from __future__ import annotations

from typing import Any

import pytest

from opskit.demo.engine.life import FAILS_WITH, FATE, Kind, fate
from opskit.demo.engine.specs import converted

REFERENCE = {"SecretID": "id", "SecretName": "a_pw_v2", "File": {"Name": "pw"}}


def kind(container: dict[str, Any], labels: dict[str, str] | None = None, has: bool = True) -> Kind:
    template = {"ContainerSpec": {"Image": "nginx:1", **container}}
    shape = converted({"Name": "a", "Labels": labels or {}, "TaskTemplate": template})
    return fate(shape, lambda noun, ident: has).kind


@pytest.mark.parametrize(
    ("container", "becomes"),
    [
        ({}, "runs"),
        ({"Args": ["sleep", "1000"]}, "runs"),
        ({"Args": ["sh", "-c", "while true; do sleep 1; done"]}, "runs"),
        ({"Args": ["false"]}, "crashes"),
        ({"Args": ["sh", "-c", "cat /x; exit 3"]}, "crashes"),
        ({"Args": ["true"]}, "completes"),
        ({"Command": ["sh", "-c"], "Args": ["exit 0"]}, "completes"),
        ({"Image": "local/missing:1"}, "no-image"),
        ({"Image": "local/missing-persons:1"}, "runs"),
        ({"Healthcheck": {"Test": ["CMD-SHELL", "exit 1"]}}, "unhealthy"),
        ({"Healthcheck": {"Test": ["CMD-SHELL", "true"]}}, "runs"),
        ({"Healthcheck": {"Test": ["NONE"]}}, "runs"),
    ],
)
def test_a_spec_decides(container: dict[str, Any], becomes: Kind) -> None:
    assert kind(container) == becomes


@pytest.mark.parametrize("wanted", ["crashes", "completes", "unhealthy", "no-image"])
def test_a_label_decides_whatever_is_run(wanted: Kind) -> None:
    assert kind({}, {FATE: wanted}) == wanted


def test_a_task_can_fail_with_one_version_of_a_secret_only() -> None:
    labels = {FAILS_WITH: "a_pw_v2"}

    assert kind({"Secrets": [REFERENCE]}, labels) == "crashes"
    assert kind({"Secrets": [REFERENCE | {"SecretName": "a_pw_v1"}]}, labels) == "runs"


def test_a_task_cannot_start_without_its_secret() -> None:
    assert kind({"Secrets": [REFERENCE]}, has=False) == "no-secret"
