"""The oracle judges without opskit, and notices whatever a change must not do."""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests import oracle
from tests.oracle import Mount, Said, Seen, Service, differences

ENV = "# an app\r\nSECRET_TOKEN_VERSION='v1'  # length=5\r\nPART=a"
OLD, NEW = "shop_token_v1", "shop_token_v2"


def service(secret: str, task: str, value: str) -> Service:
    reference = {"SecretName": secret, "SecretID": f"id of {secret}"}
    spec = {
        "Name": "shop_app",
        "Mode": {"Replicated": {"Replicas": 1}},
        "TaskTemplate": {"ContainerSpec": {"Image": "x@sha256:1", "Secrets": [reference]}},
    }
    mounts = {"token": Mount(secret, "7", "8", 0o400)}
    return Service(
        spec=spec, mounts=mounts, tasks=frozenset({task}), running=1, values=[{"token": value}]
    )


def stored(name: str, **labels: str) -> dict[str, Any]:
    return {"id": f"id of {name}", "Name": name, "Labels": {"owner": "finance", **labels}}


BEFORE = Seen(
    env=ENV,
    services={"shop_app": service(OLD, "one", "first")},
    secrets={OLD: stored(OLD)},
    configs=frozenset({"shop_greeting"}),
)
AFTER = Seen(
    env=ENV.replace("v1", "v2"),
    services={"shop_app": service(NEW, "two", "other")},
    secrets={OLD: stored(OLD), NEW: stored(NEW, **{"opskit.run": "r"})},
    configs=BEFORE.configs,
)
SAID = Said(
    made={NEW: OLD},
    swaps={("shop_app", "token"): NEW},
    versions={"SECRET_TOKEN_VERSION": "v2"},
    restarts=frozenset({"shop_app"}),
    lengths={NEW: 5},
)


def with_app(**changes: Any) -> Seen:
    return replace(AFTER, services={"shop_app": replace(AFTER.services["shop_app"], **changes)})


def with_spec(change: Callable[[dict[str, Any]], None]) -> Seen:
    spec = copy.deepcopy(dict(AFTER.services["shop_app"].spec))
    change(spec)
    return with_app(spec=spec)


def container(spec: dict[str, Any]) -> dict[str, Any]:
    return spec["TaskTemplate"]["ContainerSpec"]


def test_nothing_of_opskit_is_imported_by_the_oracle_nor_by_what_it_imports() -> None:
    waiting, seen = ["oracle"], set[str]()
    while waiting:
        name = waiting.pop()
        tree = ast.parse((Path(oracle.__file__).parent / f"{name}.py").read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                seen.update(one.name for one in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.module is not None
                seen.add(node.module)
        waiting += [one[6:] for one in seen if one.startswith("tests.") and one[6:] != name]
    assert "tests.waiting" in seen
    assert not [one for one in seen if one.partition(".")[0] == "opskit"]


def test_what_is_as_it_was_said_differs_in_nothing() -> None:
    assert differences(BEFORE, AFTER, SAID) == []
    assert differences(BEFORE, BEFORE, Said()) == []


@pytest.mark.parametrize(
    ("after", "complaint"),
    [
        (replace(AFTER, env=ENV), "the .env has SECRET_TOKEN_VERSION=v1, and the plan said v2"),
        (replace(AFTER, env=AFTER.env.replace("PART=a", "PART=b")), "PART=b in place of a"),
        (replace(AFTER, env=AFTER.env.replace("  # length=5", "")), "more than the version of"),
        (replace(AFTER, env=AFTER.env.replace("# an app", "# my app")), "that names no version"),
        (replace(AFTER, secrets={NEW: stored(NEW)}), f"the secret {OLD} was"),
        (replace(AFTER, secrets={OLD: stored(OLD)}), f"{NEW} was not made"),
        (
            replace(AFTER, secrets={**AFTER.secrets, NEW: {**stored(NEW), "Labels": {}}}),
            "has the labels {} in place of {'owner': 'finance'}",
        ),
        (
            replace(AFTER, secrets={**AFTER.secrets, NEW: {**stored(NEW), "Templating": "golang"}}),
            "has Templating golang in place of None",
        ),
        (replace(AFTER, services={}), "the service shop_app is gone"),
        (with_app(mounts=BEFORE.services["shop_app"].mounts), f"token: Mount(secret='{OLD}'"),
        (with_app(mounts={"token": Mount(NEW, "0", "0", 0o444)}), "token: Mount"),
        (with_app(mounts={}, values=[]), "token: None in place of"),
        (with_spec(lambda spec: container(spec).update(Image="x:1")), "Image: x:1 in place of x@"),
        (with_spec(lambda spec: container(spec).update(Env=["A=1"])), "Env: ['A=1'] in place"),
        (with_spec(lambda spec: spec.update(Labels={})), "Labels: {} in place of None"),
        (
            with_spec(lambda spec: spec["Mode"]["Replicated"].update(Replicas=3)),
            "1 of 3 tasks run",
        ),
        (
            with_spec(lambda spec: container(spec)["Secrets"][0].update(SecretID="x")),
            "is mounted by another id",
        ),
        (with_app(values=[{"token": "first"}]), f"holds an old value in {NEW}"),
        (with_app(values=[{"token": "longer"}]), "holds 6 characters, not 5"),
        (
            with_app(values=[{"token": "other"}, {"token": "wrong"}]),
            f"holds another value of {NEW} than another container",
        ),
        (with_app(tasks=BEFORE.services["shop_app"].tasks), "got no new task"),
        (replace(AFTER, configs=frozenset()), "the config shop_greeting is gone"),
        (
            replace(AFTER, configs=AFTER.configs | {"opskit_lock_shop"}),
            "opskit_lock_shop is left",
        ),
    ],
)
def test_what_differs_is_named(after: Seen, complaint: str) -> None:
    assert any(complaint in one for one in differences(BEFORE, after, SAID))


def test_a_service_that_restarts_though_nothing_was_said_of_it_is_named() -> None:
    restarted = replace(
        BEFORE, services={"shop_app": replace(BEFORE.services["shop_app"], tasks=frozenset({"n"}))}
    )
    (told,) = differences(BEFORE, restarted, Said())
    assert told == "shop_app got new tasks, and the plan said otherwise"


def test_a_value_that_was_given_is_the_one_in_the_container() -> None:
    given = replace(SAID, given={NEW: "mine!"}, lengths={})
    (told,) = differences(BEFORE, AFTER, given)
    assert told == f"shop_app token does not hold what was given for {NEW}"


def test_files_that_nobody_declares_are_named() -> None:
    wanted = {("shop_app", "token"): Mount(NEW, "7", "8", 0o400)}
    assert oracle.undeclared(AFTER, wanted) == []
    assert len(oracle.undeclared(BEFORE, wanted)) == 1
    assert len(oracle.undeclared(AFTER, {})) == 1
