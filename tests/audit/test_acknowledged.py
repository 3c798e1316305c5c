"""What colleagues acknowledge: left out and counted up to a day, shared beside the servers."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import opskit
from opskit.abra.acknowledged import with_acknowledged
from opskit.abra.layout import read_tree
from opskit.abra.model import Acknowledged
from opskit.audit.registry import FindingsError
from opskit.cli.app import run
from opskit.demo.fleet import DemoFleet
from opskit.errors import InputError
from opskit.facts.facts import Facts

pytestmark = pytest.mark.slow

TODAY = datetime.now(UTC).date()
SOON = TODAY + timedelta(days=30)
SERVER = "coop.example"


@dataclass
class Desk:
    """A fleet of its own, whose files a test may change."""

    fleet: opskit.Fleet

    @property
    def file(self) -> Path:
        return self.fleet.root / "servers" / SERVER / "opskit.toml"

    def look(self) -> opskit.Snapshot:
        return self.fleet.snapshot()

    def finding(self, check: str = "secret-old") -> Any:
        found = self.look().audit()
        return next(found.records((found["id"] == check) & (found["server"] == SERVER)))

    def let_be(self, finding: Any, **more: Any) -> Any:
        given = {"why": "We wait for the provider.", "until": SOON, "who": "Ada", **more}
        return self.fleet.acknowledge(finding, **given)


@pytest.fixture
def desk(
    use: Callable[[DemoFleet], Path], demo_fleet: DemoFleet, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Desk:  # fmt: skip
    use(demo_fleet)
    root = tmp_path / "abra"
    shutil.copytree(os.environ["ABRA_DIR"], root, symlinks=True)
    monkeypatch.setenv("ABRA_DIR", str(root))
    return Desk(opskit.Fleet.from_abra())


def later(snap: opskit.Snapshot, days: int) -> opskit.Snapshot:
    facts = snap.facts
    at = facts.taken_at + timedelta(days=days)
    return opskit.Snapshot(Facts(taken_at=at, declared=facts.declared, observed=facts.observed))


def test_what_is_acknowledged_leaves_the_audit_and_the_caption_counts_it(desk: Desk) -> None:
    before, row = desk.look().audit(), desk.finding()
    desk.let_be(row)
    snap = desk.look()

    assert set(before["key"]) - set(snap.audit()["key"]) == {row.key}
    assert "1 more acknowledged" in snap.audit().caption
    (shown,) = snap.audit(acknowledged=True).query("acknowledged").records()
    assert shown.key == row.key
    assert shown.acknowledged_by == "Ada"
    assert shown.acknowledged_until == SOON.isoformat()
    assert shown.acknowledged_why == "We wait for the provider."
    assert "1 of them acknowledged" in snap.audit(acknowledged=True).caption


def test_after_its_day_it_is_a_finding_again_that_says_who_let_it_be(desk: Desk) -> None:
    row = desk.finding()
    desk.let_be(row)
    snap = desk.look()
    last, over = later(snap, 30).audit(), later(snap, 31).audit()

    assert row.key not in set(last["key"])
    (again,) = over.query(f"key == '{row.key}'").records()
    assert f"acknowledged by Ada until {SOON}, which is over: We wait for" in again.what
    assert not again.acknowledged
    assert "acknowledged" not in over.caption


def test_one_that_says_it_was_made_on_a_day_to_come_lets_nothing_be(desk: Desk) -> None:
    row = desk.finding()
    desk.let_be(row)
    text = desk.file.read_text()
    dated = text.replace(f"made_on = {TODAY}", "made_on = 2099-01-01")
    desk.file.write_text(dated.replace(f"until = {SOON}", "until = 2099-06-01"))
    (shown,) = desk.look().audit().query(f"key == '{row.key}'").records()
    assert "until 2099-06-01, made on 2099-01-01, a day to come: We wait" in shown.what
    assert not shown.acknowledged

    desk.file.write_text(f"{desk.file.read_text()}\n{text[text.index('[[') :]}")
    assert row.key not in set(desk.look().audit()["key"])

    tomorrow = TODAY + timedelta(days=1)
    desk.file.write_text(text.replace(f"made_on = {TODAY}", f"made_on = {tomorrow}"))
    assert row.key not in set(desk.look().audit()["key"])


def test_a_saved_snapshot_carries_what_was_acknowledged_then(desk: Desk, tmp_path: Path) -> None:
    row = desk.finding()
    desk.look().save(tmp_path / "before.opskit")
    desk.let_be(row)
    desk.look().save(tmp_path / "after.opskit")
    desk.file.unlink()
    before, after = (
        opskit.Snapshot.load(tmp_path / f"{name}.opskit").audit() for name in ("before", "after")
    )

    assert row.key in set(before["key"])
    assert row.key not in set(after["key"])


def test_only_that_very_finding_is_let_be(desk: Desk) -> None:
    found = desk.look().audit()
    key = found.query("id == 'healthcheck-missing'")["key"].iloc[0]
    desk.let_be(key)

    assert set(found["key"]) - set(desk.look().audit()["key"]) == {key}


def test_it_is_found_by_its_key_and_again_once_it_is_acknowledged(desk: Desk) -> None:
    row = desk.finding()
    desk.let_be(row.key)
    desk.let_be(row.key, who="Ben", until=(TODAY + timedelta(days=60)).isoformat())
    (entry,) = read_tree(desk.fleet.root).acknowledged

    assert (entry.who, entry.until) == ("Ben", TODAY + timedelta(days=60))
    with pytest.raises(InputError, match="no finding has the key 'nosuch'"):
        desk.let_be("nosuch")


def test_to_see_it_go_no_server_has_to_be_read_again(desk: Desk) -> None:
    row, before = desk.finding(), desk.look()
    desk.let_be(row)
    after = desk.fleet.refresh(before, [])
    again = desk.fleet.refresh(before, [SERVER])

    assert row.key not in set(after.audit()["key"])
    assert [*map(id, after.facts.observed)] == [*map(id, before.facts.observed)]
    read = {one.server for one in again.facts.observed if one is not before.facts.seen[one.server]}
    assert read == {SERVER}


def test_what_does_not_count_does_not_fail_a_scheduled_run(desk: Desk) -> None:
    found = desk.look().audit().query("severity == 'critical'")
    with pytest.raises(FindingsError):
        desk.look().fail_on("critical")
    for row in found.records():
        desk.let_be(row)
    desk.look().fail_on("critical")


def test_a_finding_of_no_server_is_kept_beside_all_of_them(desk: Desk) -> None:
    servers = desk.fleet.root / "servers"
    (servers / "gone").symlink_to("nowhere")
    found = desk.look().audit()
    (row,) = found.records(found["server"] == "")
    done = desk.let_be(row)

    assert done.path == servers / "opskit.toml"
    assert row.key not in set(desk.look().audit()["key"])


def test_what_is_withdrawn_is_a_finding_again_at_once_for_all(desk: Desk) -> None:
    row, before = desk.finding(), desk.look().audit()
    desk.let_be(row)
    done = desk.fleet.withdraw(row.key)

    assert set(desk.look().audit()["key"]) == set(before["key"])
    assert str(done) == (
        f"secret-old of {row.app} {row.secret} is a finding again: {desk.file}, not committed"
    )
    with pytest.raises(InputError, match="nobody acknowledged secret-old of"):
        desk.fleet.withdraw(row)
    desk.let_be(row)
    assert row.key not in set(desk.look().audit()["key"])


def test_withdrawing_takes_it_out_of_both_files_and_leaves_all_else(desk: Desk) -> None:
    row, other = desk.finding(), desk.finding("secret-stale")
    desk.let_be(row)
    shared = desk.file.parent.parent / "opskit.toml"
    named = desk.file.read_text().replace("check =", f"server = '{SERVER}'\ncheck =")
    shared.write_text(f"# ours\n{named}")
    desk.file.write_text(WHOLE)
    desk.let_be(row)
    desk.let_be(other)
    done = desk.fleet.withdraw(row)

    assert list(done.commits) == [desk.file, shared]
    assert desk.file.read_text().startswith(WHOLE)
    assert [one.check for one in read_tree(desk.fleet.root).acknowledged] == [
        "secret-old", "secret-stale"
    ]  # fmt: skip
    assert {one.who for one in read_tree(desk.fleet.root).acknowledged} == {"Eve", "Ada"}
    assert shared.read_text().startswith("# ours\n")


def test_a_fault_in_one_of_both_files_leaves_what_is_to_be_withdrawn_in_both(desk: Desk) -> None:
    row = desk.finding()
    desk.let_be(row)
    shared, before = desk.file.parent.parent / "opskit.toml", desk.file.read_text()
    shared.write_text("no toml")
    with pytest.raises(InputError, match="no TOML"):
        desk.fleet.withdraw(row)
    assert desk.file.read_text() == before

    shared.write_text(before.replace("check =", f"server = '{SERVER}'\ncheck ="))
    shared.chmod(0o440)
    with pytest.raises(InputError, match="read-only"):
        desk.fleet.withdraw(row)
    assert desk.file.read_text() == before


# -- the file --------------------------------------------------------------------------------

WHOLE = """\
# ours
[colours]   # of another tool
server = "blue"

[[acknowledged]]  # by hand
check = "secret-old"
app = "wiki.coop.example"
who = 'Eve'
why = "It is fine."  # is it?
until = 2027-01-31
made_on = 2026-11-01
"""


def test_all_else_of_the_file_stays_byte_for_byte(desk: Desk) -> None:
    desk.file.write_text(WHOLE)
    desk.file.chmod(0o640)
    desk.let_be(desk.finding())
    after = desk.file.read_text()

    assert after.startswith(WHOLE)
    assert desk.file.stat().st_mode & 0o777 == 0o640
    assert [one.who for one in read_tree(desk.fleet.root).acknowledged] == ["Eve", "Ada"]


def test_what_matches_nothing_here_is_kept_for_colleagues(desk: Desk) -> None:
    desk.file.write_text(WHOLE)
    row = desk.finding()
    desk.let_be(row)
    desk.let_be(row, who="Ben")

    assert [one.who for one in read_tree(desk.fleet.root).acknowledged] == ["Eve", "Ben"]
    assert desk.file.read_text().startswith(WHOLE)


@pytest.mark.parametrize(
    ("before", "after", "line", "says"),
    [
        ("until = 2027-01-31", "until = soon", 10, "no TOML"),
        ("until = 2027-01-31", "until = 'soon'", 5, "until"),
        ("until = 2027-01-31", "until = 2028-01-31", 5, "more than a year"),
        ("until = 2027-01-31", "", 5, "until"),
        ("why =", "reason =", 5, "reason"),
        ("who = 'Eve'", "who = ''", 5, "who"),
        ("app =", "server = 'other.example'\napp =", 5, "names the server other.example"),
        ("[[acknowledged]]", "<<<<<<< HEAD\n[[acknowledged]]", 5, "no TOML"),
        ("[[acknowledged]]", "[acknowledged]", 14, "no TOML"),
    ],
)
def test_a_file_with_a_fault_is_one_finding_with_its_line_and_hides_nothing(
    desk: Desk, before: str, after: str, line: int, says: str
) -> None:
    row = desk.finding()
    desk.let_be(row)
    text = WHOLE.replace(before, after) + desk.file.read_text()
    desk.file.write_text(text)
    found = desk.look().audit()
    (fault,) = found.query("id == 'acknowledged-unread'").records()

    assert row.key in set(found["key"])
    assert fault.server == SERVER
    assert fault.what.startswith(f"{desk.file.relative_to(desk.fleet.root)}:{line}: ")
    assert says in fault.what
    with pytest.raises(InputError, match=says):
        desk.let_be(row)
    assert desk.file.read_text() == text


def test_a_faulty_file_leaves_orphans_known(desk: Desk) -> None:
    orphans = set(desk.look().secrets.query("state == 'orphan'")["swarm_name"])
    desk.file.write_text("no toml")

    assert set(desk.look().secrets.query("state == 'orphan'")["swarm_name"]) == orphans


def test_one_entry_that_is_no_list_is_told_how_to_be_one() -> None:
    entry = Acknowledged(check="x", who="Ada", why="why", until=SOON, made_on=TODAY)
    with pytest.raises(InputError, match=r"Write \[\[acknowledged\]\]"):
        with_acknowledged(b"[acknowledged]\n", Path("opskit.toml"), "s", entry)


@pytest.mark.parametrize("shape", ["acknowledged = []\n", "acknowledged = [{}]\n", "a.b = 1\n"])
def test_a_file_of_any_shape_takes_an_entry_or_stays_as_it_is(shape: str) -> None:
    entry = Acknowledged(check="x", server="s", who="Ada", why="why", until=SOON, made_on=TODAY)
    path = Path("opskit.toml")
    try:
        once = with_acknowledged(shape.encode(), path, "s", entry)
    except InputError:
        return
    assert once.decode().startswith(shape.partition("=")[0])
    assert with_acknowledged(once, path, "s", entry) == once


# -- who, why and until when -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"until": TODAY}, "is over"),
        ({"until": TODAY + timedelta(days=367)}, "more than a year away"),
        ({"until": "soon"}, "is no day"),
        ({"until": 7}, "until is"),
        ({"why": " "}, "why"),
        ({"why": "x" * 501}, "why has 501"),
    ],
)
def test_a_day_within_a_year_and_a_reason_are_asked_for(
    desk: Desk, wrong: dict[str, Any], says: str
) -> None:
    with pytest.raises(InputError, match=says):
        desk.let_be(desk.finding(), **wrong)
    assert not desk.file.exists()


def test_words_of_a_person_are_one_inert_line_and_hold_no_known_value(desk: Desk) -> None:
    known = opskit.Secret("hunter2-is-a-value")
    desk.let_be(desk.finding(), why="line\n[[acknowledged]] hunter2-is-a-value \x1b[31m")
    (entry,) = read_tree(desk.fleet.root).acknowledged

    assert known
    assert entry.why.startswith("line [[acknowledged]] ")
    assert "hunter2" not in desk.file.read_text()
    assert "\x1b" not in repr(desk.look().audit(acknowledged=True).query("acknowledged"))


# -- sharing it ----------------------------------------------------------------------------------


def git(folder: Path, *words: str) -> str:
    return subprocess.run(
        ["git", "-C", str(folder), "-c", "user.name=x", "-c", "user.email=x@x", *words],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip


def test_it_is_committed_alone_when_asked_and_a_colleague_who_pulls_has_it(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"):
        monkeypatch.setenv(name, "Ada")
    for name in ("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"):
        monkeypatch.setenv(name, "ada@example.org")
    folder = desk.file.parent
    if not (folder / ".git").exists():
        git(folder, "init", "-q")
        git(folder, "add", "-A")
        git(folder, "commit", "-qm", "first")
    (folder / "README").write_text("not to be committed")
    row = desk.finding()
    assert desk.let_be(row).commit is None
    done = desk.let_be(row, who="Ben", commit=True)

    assert done.commit == git(folder, "rev-parse", "HEAD").strip()
    assert git(folder, "show", "--name-only", "--format=%s", "HEAD").split("\n\n") == [
        f"Let secret-old of {row.app} {row.secret} be until {SOON}", "opskit.toml\n"
    ]  # fmt: skip
    git(tmp_path, "clone", "-q", str(folder), "theirs")
    assert (tmp_path / "theirs" / "opskit.toml").read_bytes() == desk.file.read_bytes()


def test_the_command_says_where_it_is_kept_and_the_audit_shows_it_with_all(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    row = desk.finding()
    words = ["acknowledge", row.key, "--until", str(SOON), "--why", "We wait.", "--who", "Ada"]
    assert run(words) == 0
    assert str(desk.file) in capsys.readouterr().out
    assert run(["audit", "-f", "json"]) == 1
    assert row.key not in capsys.readouterr().out
    assert run(["audit", "--all", "-f", "csv"]) == 1
    assert "We wait." in capsys.readouterr().out
    assert run(["audit", "--all", "--where", f"key == '{row.key}'"]) == 0


def test_the_command_withdraws_too_and_takes_no_day_then(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    row = desk.finding()
    desk.let_be(row)
    assert run(["acknowledge", row.key, "--withdraw", "--why", "x"]) == 2
    assert "has no day, reason or name" in capsys.readouterr().err
    assert run(["acknowledge", row.key, "--withdraw"]) == 0
    assert "is a finding again" in capsys.readouterr().out
    assert row.key in set(desk.look().audit()["key"])
    assert run(["acknowledge", row.key]) == 2
    assert "not said until when" in capsys.readouterr().err


def test_what_is_acknowledged_is_counted_among_what_was_asked_for(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    row = desk.finding()
    desk.let_be(row)
    for narrow, is_counted in (
        (["--server", SERVER], True),
        (["--server", "garden.example"], False),
        (["--where", f"key == '{row.key}'"], True),
        (["--where", f"key != '{row.key}'"], False),
        (["--min-severity", row.severity], True),
        (["--min-severity", "critical"], False),
    ):
        run(["audit", *narrow])
        assert ("1 more acknowledged" in capsys.readouterr().out) is is_counted, narrow


def test_a_day_that_will_not_do_is_bad_input(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["acknowledge", "xxxxx", "--until", "2001-01-01", "--why", "x"]) == 2
    assert "xxxxx" in capsys.readouterr().err
