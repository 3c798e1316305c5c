"""Each check, on the demo fleet, which was made so that each finds something."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

import opskit
from opskit.audit.registry import audit_view, checks, checks_view
from opskit.demo.dockerd import DockerdFleet
from opskit.demo.fleet import DemoFleet
from opskit.errors import InputError

Use = Callable[[DemoFleet | DockerdFleet], Path]


@pytest.fixture
def snap(use: Use, demo_fleet: DemoFleet) -> opskit.Snapshot:
    use(demo_fleet)
    return opskit.Fleet.from_abra().snapshot()


@pytest.mark.parametrize(
    ("check", "server", "app", "secret", "says"),
    [
        ("secret-missing", "mutual.example", "matrix.mutual.example", "keycloak_client_secret",
         "the next deploy fails"),
        ("secret-stale", "coop.example", "git.coop.example", "jwt_secret",
         "v1 is still used by app, and"),
        ("secret-pending", "coop.example", "git.coop.example", "jwt_secret",
         "is declared, and not used yet"),
        ("secret-superseded", "coop.example", "cloud.coop.example", "admin_password", "unused"),
        ("secret-orphan", "coop.example", None, "pads_coop_example_session", "no app declares"),
        ("secret-old", "coop.example", "traefik.coop.example", "usersfile", "days old and in use"),
        ("secret-name-long", "garden.example", "neighbourhood-archive-press.garden.example",
         "db_root_password", "of at most 64"),
        ("server-unreachable", "radio.example", None, None, "cannot connect"),
        ("server-not-manager", "library.example", None, None, "worker"),
        ("stack-collision", "workshop.example", "pads.workshop.example", None,
         "shares the stack name pads with padsold.workshop.example"),
        ("file-unreadable", "workshop.example", "git.workshop.example", None, ".env:"),
    ],
)  # fmt: skip
def test_a_check_finds_what_it_is_for(
    snap: opskit.Snapshot, check: str, server: str, app: str | None, secret: str | None, says: str
) -> None:
    found = [
        row
        for row in audit_view(snap, [check]).records()
        if row.server == server and (secret is None or row.secret == secret)
    ]

    assert found
    assert {row.id for row in found} == {check}
    assert app is None or app in {row.app for row in found}
    assert all(says in row.what for row in found)
    assert all(row.remedy for row in found)


def test_the_worst_comes_first(snap: opskit.Snapshot) -> None:
    order = snap.audit()["severity"].cat.codes.tolist()
    assert order == sorted(order)


def test_findings_have_the_promised_columns(snap: opskit.Snapshot) -> None:
    assert list(snap.audit().columns) == [
        "key", "id", "severity", "server", "app", "secret", "what", "remedy", "plan", "subject",
        "acknowledged", "acknowledged_by", "acknowledged_until", "acknowledged_why",
    ]  # fmt: skip


def test_every_check_has_a_title_and_a_purpose() -> None:
    assert len(checks_view()) == len(checks())
    for one in checks().values():
        assert one.title
        assert one.run.__doc__


def test_an_unknown_check_is_named_with_the_choices(snap: opskit.Snapshot) -> None:
    with pytest.raises(InputError, match="secret-stale"):
        audit_view(snap, ["nonsense"])


def test_what_explains_a_check_is_a_section_of_the_page() -> None:
    page, found = Path(__file__).parents[2] / "docs" / "secrets.md", checks_view()["background"]
    anchors = re.findall(r'<a id="([^"]+)">', page.read_text())
    assert set(found.dropna()) <= {f"docs/secrets.md#{one}" for one in anchors}
    assert found.notna().sum() >= 4
