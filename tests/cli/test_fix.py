"""``opskit audit`` and ``opskit fix``: findings, and what mends them."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from opskit.audit.blocks import BY
from opskit.audit.registry import SEVERITIES
from opskit.cli.app import run
from opskit.demo.dockerd import DockerdFleet
from opskit.demo.fleet import DemoFleet
from tests.cli.screen import Screen, shown

pytestmark = pytest.mark.slow

Use = Callable[[DemoFleet | DockerdFleet], Path]
Capture = pytest.CaptureFixture[str]
GIT = "git.coop.example"


@pytest.fixture
def root(use: Use, own_fleet: DemoFleet) -> Path:
    return use(own_fleet)


@pytest.fixture
def looked_at(use: Use, demo_fleet: DemoFleet) -> Path:
    return use(demo_fleet)


def keys(capsys: Capture, where: str) -> list[str]:
    capsys.readouterr()
    run(["audit", "--where", where, "--format", "json"])
    return [row["key"] for row in json.loads(capsys.readouterr().out)]


def answer(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))


# -- looking -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("looked_at")
def test_other_programs_get_a_line_for_each_finding(capsys: Capture) -> None:
    assert run(["audit"]) == 1
    rows = capsys.readouterr().out.splitlines()[2:]
    (line,) = (one for one in rows if "healthcheck-missing" in one and "id.coop" in one)
    assert line.startswith("info")
    assert "Declare one in the compose file" in line


@pytest.mark.usefixtures("looked_at")
def test_what_is_for_information_is_listed_when_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counted, listed = shown(monkeypatch, 100, "audit"), shown(monkeypatch, 100, "audit", "--all")
    assert sum("healthcheck-missing" in line for line in counted) == 1
    assert sum("no healthcheck is declared" in line for line in listed) == 16


@pytest.mark.usefixtures("looked_at")
def test_only_the_worst(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    lines = shown(monkeypatch, 100, "audit", "--min-severity", "critical")
    assert lines[0] == "1 critical · 2 of 6 servers missing"
    assert len(lines) == 4
    assert run(["audit", "--min-severity", "grave"]) == 2
    assert "critical" in capsys.readouterr().err


@pytest.mark.usefixtures("looked_at")
def test_findings_by_app_stand_below_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(monkeypatch, 100, "audit", "--by", "app", "--server", "coop.example")
    at = lines.index(GIT)
    assert "jwt_secret: v1 is still used by app" in lines[at + 1]
    assert GIT not in lines[at + 1]


@pytest.mark.usefixtures("looked_at")
def test_columns_that_are_asked_for_make_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(monkeypatch, 100, "audit", "--columns", "key,id")
    assert lines[1].split() == ["key", "id"]


@pytest.mark.usefixtures("looked_at")
def test_a_saved_snapshot_is_not_mended(tmp_path: Path, capsys: Capture) -> None:
    path = str(tmp_path / "monday.opskit")
    assert run(["snapshot", path]) == 0
    assert run(["audit", "--fix", "--snapshot", path]) == 2
    assert "Leave out --snapshot or --fix" in capsys.readouterr().err


def test_the_command_line_offers_every_severity_and_every_order(capsys: Capture) -> None:
    for option, names in (("--min-severity", SEVERITIES), ("--by", BY)):
        assert run(["audit", option, "nonsense"]) == 2
        said = " ".join(capsys.readouterr().err.replace("│", " ").split())
        assert ", ".join(names) in said


# -- mending -----------------------------------------------------------------------------------


def test_a_finding_is_mended_by_its_key_and_gone(root: Path, capsys: Capture) -> None:
    stale = keys(capsys, f"app == '{GIT}' and secret == 'jwt_secret'")
    assert len(stale) == 3
    assert run(["fix", *stale, "--yes"]) == 0
    said = capsys.readouterr().out
    assert said.count(": done (stacks: 1 done)") == 1
    assert not set(stale) & set(keys(capsys, f"app == '{GIT}'"))
    assert run(["fix", stale[0], "--yes"]) == 2
    assert f"no finding has the key {stale[0]}" in capsys.readouterr().err


def test_after_a_run_it_is_said_how_to_look_at_it_and_how_to_undo_it(
    root: Path, capsys: Capture
) -> None:
    (key,) = keys(capsys, f"app == '{GIT}' and secret == 'internal_token'")
    assert run(["fix", key, "--yes"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    ident = last.split()[-1]
    assert last == f"Look at it: opskit journal {ident}. Undo it: opskit rollback {ident}"
    assert run(["rollback", ident, "--yes"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"Look at it: opskit journal {ident}"


def test_what_can_not_be_undone_offers_no_way_back(root: Path, capsys: Capture) -> None:
    (key,) = keys(capsys, "id == 'secret-superseded'")
    assert run(["fix", key, "--yes"]) == 0
    assert "rollback" not in capsys.readouterr().out


def test_a_dry_run_prints_the_calls_of_all_and_changes_nothing(root: Path, capsys: Capture) -> None:
    old = keys(capsys, f"app == '{GIT}' and id in ['secret-old', 'secret-stale']")
    orphans = keys(capsys, "id == 'secret-orphan'")
    assert run(["fix", *old, *orphans, "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "POST /secrets/create Name=git_coop_example_internal_token_v2" in said
    assert said.count("(pads_coop_example_session_v1)") == 1
    assert keys(capsys, f"app == '{GIT}' and id in ['secret-old', 'secret-stale']") == old


@pytest.mark.usefixtures("looked_at")
def test_of_orphans_no_entry_is_kept_in_step_whoever_removes_them(capsys: Capture) -> None:
    orphans = keys(capsys, "id == 'secret-orphan'")
    for command in (["fix", *orphans], ["secret", "remove", "--orphans"]):
        assert run([*command, "--pass", "--dry-run"]) == 2
        assert "an orphan is of no app, so the password store has" in capsys.readouterr().err


def test_a_value_that_somebody_has_comes_from_standard_input(
    root: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (key,) = keys(capsys, "secret == 'keycloak_client_secret'")
    answer(monkeypatch, "c4nary-of-fix\n")
    assert run(["fix", key, "--yes"]) == 0
    assert "c4nary" not in "".join(capsys.readouterr())
    assert key not in keys(capsys, "secret == 'keycloak_client_secret'")


def test_one_value_comes_in_and_not_several(
    root: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    several = keys(capsys, "app == 'traefik.coop.example' and id == 'secret-old'")
    answer(monkeypatch, "one\n")
    assert run(["fix", *several, "--yes"]) == 2
    assert "3 values are to be given" in capsys.readouterr().err


def test_one_file_is_not_put_into_several_secrets_before_a_terminal_either(
    root: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    several = keys(capsys, "app == 'traefik.coop.example' and id == 'secret-old'")
    file = tmp_path / "value"
    file.write_text("c4nary-of-fix")
    monkeypatch.setattr("sys.stdin", Screen())
    assert run(["fix", *several, "--file", str(file), "--yes"]) == 2
    assert "3 values are to be given, and one can come in" in capsys.readouterr().err
    assert keys(capsys, "app == 'traefik.coop.example' and id == 'secret-old'") == several


@pytest.mark.usefixtures("looked_at")
def test_a_file_for_what_takes_no_value_is_refused(tmp_path: Path, capsys: Capture) -> None:
    (key,) = keys(capsys, "id == 'secret-superseded'")
    file = tmp_path / "value"
    file.write_text("c4nary-of-fix")
    assert run(["fix", key, "--file", str(file), "--yes"]) == 2
    assert "Leave out --file" in capsys.readouterr().err
    assert keys(capsys, "id == 'secret-superseded'") == [key]


@pytest.mark.usefixtures("looked_at")
def test_what_a_person_has_to_mend_is_said(capsys: Capture) -> None:
    (key,) = keys(capsys, "id == 'stack-collision'")
    assert run(["fix", key, "--yes"]) == 1
    assert f"{key} is for a person to mend. Set a different" in capsys.readouterr().err
    (other,) = keys(capsys, "id == 'secret-superseded'")
    assert run(["fix", key, other, "--dry-run"]) == 1
    said = capsys.readouterr()
    assert f"{key} is for a person to mend" in said.err
    assert "(cloud_coop_example_admin_password_v1)" in said.out


def test_what_an_earlier_round_mended_too_is_said_and_is_no_bad_input(
    root: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (key,) = keys(capsys, "id == 'secret-superseded'")
    monkeypatch.setattr("opskit.mending.rounds", lambda mends: [list(mends)] * 2)
    assert run(["fix", key, "--yes"]) == 0
    said = capsys.readouterr()
    assert "there is nothing to prune" in said.err
    assert said.out.count(": done (stacks: 1 done)") == 1


@pytest.mark.usefixtures("looked_at")
@pytest.mark.parametrize(
    "option", [["--format", "json"], ["--columns", "key"], ["--wide"], ["--by", "app"]]
)
def test_no_table_is_shown_of_what_is_gone_through(option: list[str], capsys: Capture) -> None:
    assert run(["audit", "--fix", *option]) == 2
    assert "Leave out --fix, or --format, --columns, --wide and --by" in capsys.readouterr().err


def test_all_that_can_be_mended_is_gone_through_one_by_one(
    root: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    narrow = ["--server", "coop.example", "--where", f"app in ['{GIT}', 'cloud.coop.example']"]
    # The stale version is deployed, two rotations are skipped, the prune is confirmed by its word.
    answer(monkeypatch, "what?\ny\nn\nskip\ncloud.coop.example\n")
    assert run(["audit", "--fix", *narrow]) == 1
    said = capsys.readouterr().out
    assert "1 of 3" in said
    assert said.count(": done (stacks: 1 done)") == 2
    left = keys(capsys, f"app in ['{GIT}', 'cloud.coop.example'] and severity != 'info'")
    assert len(left) == 2


def test_when_all_is_mended_nothing_is_left_to_tell_of(
    root: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(monkeypatch, "cloud.coop.example\n")
    assert run(["audit", "--fix", "--where", "id == 'secret-superseded'"]) == 0
    assert ": done (stacks: 1 done)" in capsys.readouterr().out


def test_whoever_quits_leaves_the_others_as_they_are(
    root: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = keys(capsys, "severity != 'info'")
    answer(monkeypatch, "q\n")
    assert run(["audit", "--fix"]) == 1
    assert "the others are left as they are" in capsys.readouterr().out
    assert keys(capsys, "severity != 'info'") == before
