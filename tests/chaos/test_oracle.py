"""The oracle names what is wrong: shown on made-up looks, each with one fault."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.chaos.done import State, done_wrongly
from tests.chaos.oracle import Canaries, Look, Service, Stored, Values, plain
from tests.chaos.recipes import OLD
from tests.chaos.story import Operation
from tests.chaos.world import APPS

(TWIN,) = (app for app in APPS if app.name == "twin.srv1.example")
ENV = TWIN.recipe.env(TWIN.name, TWIN.stack)
V1, V2, V3 = (f"twin_srv1_session_v{number}" for number in (1, 2, 3))


def seen(*, app: str = V2, fallback: str = V1, there: tuple[str, ...] = (V1, V2)) -> Look:
    service = Service(
        mounts={"session": app, "session_fallback": fallback},
        before={},
        release=OLD,
        replicas=0,
        processes=(),
    )
    return Look(
        secrets={name: Stored(ident=name, run="made" if name == V3 else "") for name in there},
        services={"twin_srv1_app": service},
        locks=(),
    )


def rotated(text: str = ENV.replace("VERSION=v2", "VERSION=v3"), **more: Any) -> list[str]:
    """Tell what is wrong after a rotation of the session from v2 to v3."""
    operation = Operation(
        number=1, operator="kim", verb="rotate", app=TWIN, release=OLD, keep=1, choice=0, blow=None
    )
    given = {"app": V3, "there": (V1, V2, V3), **more}
    before, now = State.of(TWIN, ENV, seen()), State.of(TWIN, text, seen(**given))
    found = done_wrongly(operation, "made", (before, before), now, Values())
    # There is no container here.
    return [one for one in found if not one.endswith("does not run")]


def test_a_rotation_that_is_done_is_right() -> None:
    assert rotated() == []


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        ({"app": V2}, f"app mounts {V2} as session, declared is {V3}"),
        ({"fallback": V2}, f"app mounts {V2} as session_fallback, declared is {V1}"),
        ({"text": ENV}, f"app mounts {V3} as session, declared is {V2}"),
        ({"there": (V2, V3)}, f"declared {V1} is not in the swarm"),
        ({"there": (V1, V3)}, f"['{V2}'] are gone"),
        ({"there": (V1, V2)}, "no new version is there"),
    ],
    ids=str,
)
def test_each_fault_of_a_rotation_is_named(fault: dict[str, Any], named: str) -> None:
    assert named in rotated(**fault)


def test_only_versions_may_change_in_a_file() -> None:
    assert plain(ENV.replace("=v2", "=v7").replace(OLD, "9"), []) == plain(ENV, [])
    assert plain(f"{ENV}# by hand\n", ["# by hand"]) == plain(ENV, [])
    assert plain(ENV.replace("PASSWORD", "P"), []) != plain(ENV, [])


def test_a_value_is_found_in_whatever_was_written(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "journal").write_bytes(b"\0\1" + b"the-value" + b"\2")
    (tmp_path / "clean").write_bytes(b"nothing")
    assert Canaries({b"the-value"}).found_in([tmp_path]) == [str(tmp_path / "deep" / "journal")]
