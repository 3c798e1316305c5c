"""A deploy that takes long: its lock is kept, and no program outlives a run that stops."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from opskit.abra.deployment import deployment
from opskit.errors import InputError, LockHeldError, OpskitError, StepError
from opskit.steps import Deploy, InterruptedStepError, StepContext
from opskit.steps import deploy as deploying
from opskit.swarm.context import Context
from opskit.swarm.engine import Engine
from tests.stage import APP, SERVER
from tests.waiting import eventually

ABRA = """#!/bin/sh
sleep 1000 &
echo $! > started.tmp && mv started.tmp started
wait
"""


@pytest.fixture
def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where an abra runs that does not end, and writes the number of what it began."""
    program = tmp_path / "bin" / "abra"
    program.parent.mkdir()
    program.write_text(ABRA)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return tmp_path


def deploy(root: Path, ctx: StepContext, timeout: float = 60.0) -> None:
    Deploy(mode="abra", root=str(root), server=SERVER, app=APP, stack="shop", timeout=timeout).do(
        ctx
    )


def ctx(keep_lock: Callable[[], None], stop: threading.Event | None = None) -> StepContext:
    nowhere = Engine(Context(server=SERVER, host="unix:///nowhere"))
    return StepContext(
        engine=nowhere, run="run", actor="kim", host="laptop", keep_lock=keep_lock,
        stop=stop or threading.Event(),
    )  # fmt: skip


def has_ended(root: Path) -> bool:
    """Whether what abra began is dead soon: a kill is taken up when the kernel runs its target."""
    status = Path("/proc") / (root / "started").read_text().strip() / "stat"

    def state() -> str:
        try:
            return status.read_text().rpartition(")")[2].split()[0]
        except OSError:
            return "gone"

    return bool(eventually(state, f"{status} to be of the dead", {"Z", "X", "gone"}.__contains__))


def test_a_lock_that_is_lost_meanwhile_ends_the_deploy(slow: Path) -> None:
    def keep_lock() -> None:
        if (slow / "started").exists():
            raise LockHeldError("shop is locked by kim")

    with pytest.raises(LockHeldError, match="locked by kim"):
        deploy(slow, ctx(keep_lock))
    assert has_ended(slow)


@pytest.mark.slow
def test_a_run_that_is_told_to_stop_ends_the_deploy(slow: Path) -> None:
    stop = threading.Event()

    def keep_lock() -> None:
        if (slow / "started").exists():
            stop.set()

    with pytest.raises(InterruptedStepError):
        deploy(slow, ctx(keep_lock, stop))
    assert has_ended(slow)


def test_a_deploy_that_takes_too_long_is_stopped_and_said(
    slow: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its time is up once abra has begun something, however long that takes on a busy machine.
    clock = SimpleNamespace(monotonic=lambda: math.inf if (slow / "started").exists() else 0.0)
    monkeypatch.setattr(deploying, "time", clock)
    with pytest.raises(StepError, match="did not end in 60 s, and was stopped"):
        deploy(slow, ctx(lambda: None), timeout=60)
    assert has_ended(slow)


def test_docker_finds_the_engine_as_opskit_does_and_not_as_the_app_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """docker takes an engine without a verified certificate by DOCKER_TLS alone."""
    mine = {"DOCKER_HOST": "tcp://engine:2376", "DOCKER_TLS": "1", "DOCKER_CERT_PATH": "/certs"}
    for name, value in mine.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "servers" / "default").mkdir(parents=True)
    own = "".join(f"{name}=of-the-app\n" for name in mine)
    (tmp_path / "servers" / "default" / f"{APP}.env").write_text(f"TYPE=shop\n{own}")
    recipe = tmp_path / "recipes" / "shop"
    recipe.mkdir(parents=True)
    (recipe / "compose.yml").write_text("services: {app: {image: x}}\n")
    with deployment(tmp_path, "default", APP) as found:
        environment = deploying.docker_environment(found, "default")
        assert {name: environment[name] for name in mine} == mine
        # Behind a context nothing of it is docker's own, and compose files have the app's.
        behind = deploying.docker_environment(found, SERVER)
        assert {behind[name] for name in mine} == {"of-the-app"}
    (recipe / "compose.yml").write_text("services: {app: {image: 'x:$DOCKER_TLS'}}\n")
    with (
        deployment(tmp_path, "default", APP) as found,
        pytest.raises(InputError, match=r"use DOCKER_TLS of its \.env, and docker needs one"),
    ):
        deploying.check_environment(found, "default")


def test_what_it_says_last_is_said(slow: Path) -> None:
    (slow / "bin" / "abra").write_text("#!/bin/sh\necho no such recipe >&2\nexit 3\n")
    with pytest.raises(OpskitError, match=r"abra could not deploy .*no such recipe"):
        deploy(slow, ctx(lambda: None))


NOTICE = (
    "Since --detach=false was not specified, tasks will be created in the background.\\n"
    "In a future release, --detach=false will become the default.\\n"
)
WARNINGS = (
    "Ignoring unsupported options: build\\n\\n"
    "image coop/app:1 could not be accessed on a registry to record\\n"
    "its digest. Each node will access coop/app:1 independently,\\n"
    "possibly leading to different nodes running different\\nversions of the image.\\n\\n"
)
PROGRESS = (
    "Creating service shop_app\\noverall progress: 0 out of 1 tasks\\n"
    "1/1: preparing [=======>                           ]\\n"
    "verify: Waiting 5 seconds to verify that tasks are stable...\\n"
)


@pytest.mark.parametrize(
    ("written", "told"),
    [
        (NOTICE + "failed to create service shop_app: name conflicts", "failed to create service"),
        (WARNINGS + "failed to update service shop_app: rpc error", "failed to update service"),
        (PROGRESS + "1/1: No such image: coop/app:1", "1/1: No such image: coop/app:1"),
        ("INFO reading\\nFATA <app/deploy.go:9> no such recipe", "reading no such recipe"),
        ('time="2026-01-01T00:00:00Z" level=fatal msg="no \\"app\\""', 'no "app"'),
    ],
)
def test_a_fault_is_told_without_what_was_said_before_it(
    slow: Path, written: str, told: str
) -> None:
    (slow / "bin" / "abra").write_text(f"#!/bin/sh\nprintf '{written}\\n' >&2\nexit 3\n")
    with pytest.raises(OpskitError) as failed:
        deploy(slow, ctx(lambda: None))
    assert str(failed.value).startswith(f"abra could not deploy {APP}: {told}")
