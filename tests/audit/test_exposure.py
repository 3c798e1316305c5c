"""Who could know a secret, where it counts, and what the password store lacks."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import opskit
from opskit.audit.registry import FindingsError, at_least
from opskit.demo.fleet import DemoFleet
from opskit.errors import InputError
from opskit.secrets.recipients import openable


@pytest.fixture
def fleet(demo_fleet: DemoFleet, use: Callable[[DemoFleet], Path]) -> opskit.Fleet:
    use(demo_fleet)
    return opskit.Fleet.from_abra()


@pytest.fixture
def snap(fleet: opskit.Fleet) -> opskit.Snapshot:
    return fleet.snapshot(with_pass=True)


def test_a_shared_secret_names_the_other_apps(snap: opskit.Snapshot) -> None:
    (row,) = snap.uses_of("git.coop.example", "mail_relay_password").records()

    assert row.shared_with == ["id.coop.example"]


def test_every_version_of_a_secret_is_listed_with_its_users(snap: opskit.Snapshot) -> None:
    versions = snap.uses_of("git.coop.example", "jwt_secret").set_index("version")

    assert versions.loc["v1", "used_by"] == ["git_coop_example_app"]
    assert versions.loc["v2", "state"] == "pending"


def test_somebody_knows_what_is_encrypted_to_them(
    fleet: opskit.Fleet, snap: opskit.Snapshot
) -> None:
    known = fleet.known_to("sol@mutual.example", snap)

    assert set(known["server"]) == {"mutual.example"}
    assert not known["secret"].isin(["session", "jwt_secret"]).any()
    assert fleet.known_to("nobody@mutual.example", snap).empty


def test_what_opens_doors_elsewhere_comes_first_and_what_is_unused_last(
    fleet: opskit.Fleet, snap: opskit.Snapshot
) -> None:
    known = fleet.known_to("ops@coop.example", snap)

    assert known["priority"].cat.codes.is_monotonic_increasing
    assert known.query("not generate and priority != 'last'")["priority"].eq("first").all()
    assert known.query("secret == 'mail_relay_password'")["priority"].eq("first").all()


@pytest.mark.slow
def test_somebody_knows_what_their_runs_made(
    use: Callable[[DemoFleet], Path],
) -> None:
    with DemoFleet() as demo:
        use(demo)
        fleet = opskit.Fleet.from_abra()
        plan = fleet.plan_rotate(
            [("coop.example", "notes.coop.example", "session")], opskit.Options(stable=0.1)
        )
        plan.apply(identity="kim@coop.example")
        (row,) = fleet.known_to("kim@coop.example", fleet.snapshot()).records()

    assert (row.secret, row.version, row.known_from) == ("session", "v2", "journal")


def test_a_snapshot_tells_which_secrets_have_an_entry(snap: opskit.Snapshot) -> None:
    found = snap.secrets.set_index("swarm_name")["in_pass"]

    assert found["blog_mutual_example_db_password_v10"]
    assert not found["notes_coop_example_session_v1"]


def test_without_asking_it_is_not_looked_up(fleet: opskit.Fleet) -> None:
    assert fleet.snapshot().secrets["in_pass"].isna().all()


def test_the_store_is_compared_in_both_directions(
    fleet: opskit.Fleet, snap: opskit.Snapshot
) -> None:
    compared = fleet.compare_pass(snap).set_index("path")["where"]

    assert compared["hosts/coop.example/notes.coop.example/session"] == "only in the swarm"
    assert compared["hosts/coop.example/wiki.coop.example/secret_key"] == "only in the store"
    assert compared["hosts/garden.example/notes.garden.example/session"] == "nowhere"
    assert compared["hosts/mutual.example/blog.mutual.example/db_password"] == "both"
    assert "hosts/coop.example/id.coop.example/mail_relay_password" not in compared


@pytest.mark.parametrize(
    ("listed", "person", "knows"),
    [
        ("Kim <kim@coop.example>", "kim@coop.example", True),
        ("KIM@coop.example # left in May", "kim@coop.example", True),
        ("0xABCDEF0123456789", "1111ABCDEF0123456789", True),
        ("kim@coop.example", "im@coop.example", False),
        ("# kim@coop.example", "kim@coop.example", False),
    ],
)
def test_a_recipient_is_known_by_address_or_key(
    tmp_path: Path, listed: str, person: str, knows: bool
) -> None:
    (tmp_path / ".gpg-id").write_text(f"{listed}\n")

    assert bool(openable(["hosts/a/b/c"], tmp_path, person)) is knows


def test_the_nearest_list_of_recipients_counts(tmp_path: Path) -> None:
    (tmp_path / "private").mkdir()
    (tmp_path / ".gpg-id").write_text("kim@coop.example\n")
    (tmp_path / "private" / ".gpg-id").write_text("sol@coop.example\n")

    assert openable(["a", "private/b"], tmp_path, "kim@coop.example") == {"a"}


def test_a_key_stands_for_its_address(gnupg: Path, tmp_path: Path,
                                      monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setenv("GNUPGHOME", str(gnupg))
    listed = subprocess.run(
        ["gpg", "--with-colons", "--list-keys"], capture_output=True, text=True, check=True
    ).stdout
    (key,) = [line.split(":")[4] for line in listed.splitlines() if line.startswith("pub:")]
    (tmp_path / ".gpg-id").write_text(f"{key}\n")

    assert openable(["a"], tmp_path, "opskit@test.example") == {"a"}


def test_findings_end_a_scheduled_run_only_when_bad_enough(snap: opskit.Snapshot) -> None:
    snap.fail_on("")
    with pytest.raises(FindingsError, match="1 finding is of severity critical or worse"):
        snap.fail_on("critical")
    with pytest.raises(FindingsError, match="of severity low or worse"):
        snap.fail_on("low")


def test_a_severity_that_is_none_is_bad_input_wherever_findings_are_cut(
    snap: opskit.Snapshot,
) -> None:
    assert set(at_least(snap.audit(), "high")["severity"]) == {"critical", "high"}
    for cut in (snap.fail_on, lambda severity: at_least(snap.audit(), severity)):
        with pytest.raises(InputError, match=r"no severity called 'hihg'.*critical, high, medium"):
            cut("hihg")
