"""``opskit watch``: in a real terminal, and as lines for another program."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

import opskit
from opskit.abra.model import Declared
from opskit.cli.app import run
from opskit.cli.watch import _tables
from opskit.demo.fleet import DemoFleet
from opskit.facts.facts import Facts
from opskit.swarm.observe import Observation
from opskit.views.diff import Changes
from opskit.views.frame import View
from tests.stage import Stage
from tests.waiting import eventually

replace = msgspec.structs.replace
COMMAND = [sys.executable, "-c", "from opskit.cli import main; main()", "watch"]


@contextmanager
def lines(*arguments: str) -> Iterator[Iterator[list[str]]]:
    """Run the command for another program, and give the lines that come, each as its cells."""
    with subprocess.Popen(
        [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield (line.rstrip("\n").split("\t") for line in process.stdout)
            process.send_signal(signal.SIGINT)
            assert process.wait() == 0
        finally:
            process.kill()


@pytest.mark.slow
def test_elsewhere_each_changed_row_is_a_line(embedded_stage: Stage) -> None:
    stage = embedded_stage
    stage.write_files()
    with lines("secrets", "--columns", "swarm_name,observed") as found:
        assert next(found) == ["time", "change", "swarm_name", "observed"]
        stage.create("token_v1")
        assert next(found)[1:] == ["changed", f"{stage.stack}_token_v1", "yes"]
        stage.create("other_v1")
        assert next(found)[1:3] == ["added", f"{stage.stack}_other_v1"]
        (secret,) = stage.engine.secrets(f"{stage.stack}_other_v1")
        stage.engine.remove_secret(secret.id)
        assert next(found)[1:3] == ["removed", f"{stage.stack}_other_v1"]


@pytest.mark.slow
def test_only_rows_that_match_are_told(embedded_stage: Stage) -> None:
    stage = embedded_stage
    stage.write_files()
    where = f"swarm_name == '{stage.stack}_b_v1'"
    with lines("secrets", "--where", where, "--columns", "swarm_name") as found:
        next(found)
        stage.create("a_v1", "b_v1")
        assert next(found)[1:] == ["added", f"{stage.stack}_b_v1"]


@pytest.mark.slow
def test_a_terminal_shows_the_table_as_it_is_now(embedded_stage: Stage) -> None:
    stage = embedded_stage
    stage.write_files()
    ours, theirs = pty.openpty()
    environ = os.environ | {"TERM": "xterm", "COLUMNS": "120", "LINES": "40"}
    shown = bytearray()
    with subprocess.Popen(
        [*COMMAND, "secrets", "--columns", "swarm_name"],
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        env=environ,
    ) as process:
        os.close(theirs)

        def screen() -> str:
            shown.extend(os.read(ours, 65_536))
            return shown.decode(errors="replace")

        try:
            eventually(screen, "the table", lambda text: "Ctrl-C ends" in text)
            shown.clear()
            stage.create("other_v1")
            eventually(screen, "the new row", lambda text: "other_v1" in text)
            process.send_signal(signal.SIGINT)
            assert process.wait() == 0
        finally:
            process.kill()
    os.close(ours)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["secret"], "there is no table called 'secret'. Choose from: servers, apps, secrets"),
        (["secrets", "--columns", "colour"], "there is no column 'colour'"),
        (["secrets", "--where", "colour == 'blue'"], "colour"),
    ],
)
def test_what_cannot_be_watched_is_refused(
    embedded_stage: Stage,
    arguments: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    embedded_stage.write_files()
    assert run(["watch", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_what_is_drawn_again_has_the_ages_of_now(facts: Facts) -> None:
    year = timedelta(days=365)
    old = Facts(taken_at=datetime.now(UTC) - year, declared=facts.declared, observed=facts.observed)
    live: Any = SimpleNamespace(snapshot=opskit.Snapshot(old), changes=lambda _: iter(()))
    view = next(_tables(live, "secrets", None))
    known = live.snapshot.secrets["age_days"].dropna()
    assert len(known)
    assert (view["age_days"].dropna() - known >= 365).all()


# -- which rows changed ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def facts(demo_fleet: DemoFleet) -> Facts:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in demo_fleet.env.items():
            patch.setenv(name, value)
        return opskit.Fleet.from_abra().snapshot().facts


def services(facts: Facts, change: Callable[..., object] | None = None) -> View:
    """Show the services, where one server says something else."""
    observed = tuple(
        change(one) if change and one.server == "coop.example" else one for one in facts.observed
    )
    made = Facts(taken_at=facts.taken_at, declared=facts.declared, observed=observed)  # type: ignore[arg-type]
    return opskit.Snapshot(made).services


def test_of_a_server_that_is_missing_nothing_is_told_until_it_is_back(facts: Facts) -> None:
    changes = Changes(services(facts), ["service"])
    gone = services(facts, lambda one: replace(one, manager=False, reachable=False, error="?"))
    fewer = services(facts, lambda one: replace(one, services=one.services[1:]))
    assert len(gone) < len(fewer)
    assert changes.since_then(gone) == []
    assert [change for change, _ in changes.since_then(fewer)] == ["removed"]
    assert [change for change, _ in changes.since_then(services(facts))] == ["added"]


def test_of_a_server_that_is_missing_itself_and_its_apps_are_told(facts: Facts) -> None:
    def gone(declared: Declared) -> opskit.Snapshot:
        observed = tuple(
            Observation(server=one.server, taken_at=one.taken_at, error="it hangs")
            if one.server == "coop.example"
            else one
            for one in facts.observed
        )
        return opskit.Snapshot(Facts(taken_at=facts.taken_at, declared=declared, observed=observed))

    snap, dead = opskit.Snapshot(facts), gone(facts.declared)
    servers = Changes(snap.servers, ["server", "error"])
    assert servers.since_then(dead.servers) == [("changed", ["coop.example", "it hangs"])]
    assert servers.since_then(snap.servers) == [("changed", ["coop.example", ""])]

    (coop,) = (one for one in facts.declared.servers if one.name == "coop.example")
    fewer = tuple(
        replace(one, apps=one.apps[1:]) if one is coop else one for one in facts.declared.servers
    )
    apps = Changes(dead.apps, ["app"])
    without = gone(replace(facts.declared, servers=fewer))
    assert apps.since_then(without.apps) == [("removed", [coop.apps[0].name])]


def test_every_row_of_every_view_is_told_from_the_others(facts: Facts) -> None:
    snap = opskit.Snapshot(facts)
    for name in ("servers", "apps", "services", "tasks", "nodes", "networks", "volumes"):
        view: View = getattr(snap, name)
        assert len(view), name
        assert not view.duplicated(list(view.key)).any(), name


@pytest.mark.parametrize("other", ["a_key_before_all", "the_other_key", "zz_behind_all"])
def test_of_a_secret_with_two_keys_both_rows_are_told_from_each_other(
    facts: Facts, other: str
) -> None:
    (coop,) = (one for one in facts.declared.servers if one.name == "coop.example")
    app, *others = sorted(coop.apps, key=lambda one: not one.secrets)
    twice = (*app.secrets, replace(app.secrets[0], name=other))
    more = replace(coop, apps=(replace(app, secrets=twice), *others))
    servers = tuple(more if one is coop else one for one in facts.declared.servers)
    declared = replace(facts.declared, servers=servers)
    one_key = opskit.Snapshot(facts)
    two_keys = opskit.Snapshot(
        Facts(taken_at=facts.taken_at, declared=declared, observed=facts.observed)
    )

    changes = Changes(one_key.secrets, ["app", "secret"])
    row = [app.name, other]
    assert changes.since_then(two_keys.secrets) == [("added", row)]
    assert changes.since_then(one_key.secrets) == [("removed", row)]
    (told,) = two_keys.diff(one_key).query("kind == 'secret'").to_dict("records")
    assert (told["change"], told["name"]) == ("added", app.secrets[0].swarm_name)


def test_a_secret_that_is_called_otherwise_since_is_changed_and_not_another(facts: Facts) -> None:
    (coop,) = (one for one in facts.declared.servers if one.name == "coop.example")
    app, *others = sorted(coop.apps, key=lambda one: not one.secrets)
    renamed = replace(app, secrets=(replace(app.secrets[0], name="other"), *app.secrets[1:]))
    servers = tuple(
        replace(one, apps=(renamed, *others)) if one is coop else one
        for one in facts.declared.servers
    )
    later = Facts(
        taken_at=facts.taken_at,
        declared=replace(facts.declared, servers=servers),
        observed=facts.observed,
    )
    changes = Changes(opskit.Snapshot(facts).secrets, ["app", "secret"])
    told = changes.since_then(opskit.Snapshot(later).secrets)
    assert ("changed", [app.name, "other"]) in told
    assert {change for change, _ in told} == {"changed"}


def test_what_only_grows_older_is_no_change(facts: Facts) -> None:
    snap = opskit.Snapshot(facts)
    changes = Changes(snap.secrets, ["secret", "age_days"])
    later = Facts(
        taken_at=facts.taken_at.replace(year=2027), declared=facts.declared, observed=facts.observed
    )
    assert changes.since_then(opskit.Snapshot(later).secrets) == []
