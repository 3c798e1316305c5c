"""Who is at work: what the server of a notebook says with each cell, and nothing made up."""

from __future__ import annotations

import getpass
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from jupyter_client.session import Session
from jupyter_server.auth.identity import User
from jupyter_server.services.kernels.connection.base import (
    deserialize_msg_from_ws_v1,
    serialize_binary_message,
    serialize_msg_to_ws_v1,
)
from jupyter_server.services.kernels.websocket import KernelWebsocketHandler

import opskit
from opskit.journal.claimed import PERSON, person_here
from opskit.journal.runs import open_journal
from opskit.jupyter import named
from opskit.run.recovery import give_up
from tests.journal.journalling import begin
from tests.stage import APP, QUICK, SERVER, Stage

KIM = User(username="0a1b", name="Kim", display_name="Kim")


def in_a_cell(monkeypatch: pytest.MonkeyPatch, metadata: Any) -> None:
    there = SimpleNamespace(get_parent=lambda: {"metadata": metadata})
    monkeypatch.setattr("opskit.journal.claimed.shell", lambda: there)


@pytest.mark.parametrize(
    ("metadata", "who"),
    [
        ({PERSON: "Kim (0a1b)"}, "Kim (0a1b)"),
        ({PERSON: "Kim\n\x1b[31m"}, "Kim"),
        ({PERSON: 7}, ""),
        ({}, ""),
        (None, ""),
    ],
)
def test_it_is_what_the_server_said_with_the_cell_as_one_harmless_line(
    monkeypatch: pytest.MonkeyPatch, metadata: Any, who: str
) -> None:
    monkeypatch.delenv("JUPYTERHUB_USER", raising=False)
    in_a_cell(monkeypatch, metadata)
    assert person_here().startswith(who)
    assert "\x1b" not in person_here()
    assert bool(person_here()) is bool(who)


def test_a_hub_gives_each_person_a_server_and_outside_nobody_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("JUPYTERHUB_USER", raising=False)
    assert person_here() == ""
    monkeypatch.setenv("JUPYTERHUB_USER", "ada")
    assert person_here() == "ada"


@pytest.mark.slow
def test_the_journal_names_who_ran_the_cell_unless_another_is_named(
    embedded_stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedded_stage.set_up()
    in_a_cell(monkeypatch, {PERSON: "Kim (0a1b)"})
    fleet = opskit.Fleet.from_abra()
    fleet.plan_rotate([(SERVER, APP, "token")], QUICK).apply()
    fleet.plan_rotate([(SERVER, APP, "token")], QUICK).apply(identity="Ada")
    assert set(fleet.journal()["identity"]) == {"Ada", "Kim (0a1b)"}


def test_who_gives_a_run_up_is_named_as_who_runs_one_and_outside_by_their_account(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPSKIT_STATE_DIR", str(tmp_path))
    monkeypatch.delenv("JUPYTERHUB_USER", raising=False)

    def noted(run: str, who: str = "") -> str:
        with open_journal() as journal:
            begin(journal, run)
            journal.finish(run, "failed")
        give_up(run, who)
        with open_journal() as journal:
            (note,) = journal.notes(run)
        return note.identity

    assert noted("20260101-120000-aaaaaa") == getpass.getuser()
    in_a_cell(monkeypatch, {PERSON: "Kim (0a1b)"})
    assert noted("20260101-120000-bbbbbb") == "Kim (0a1b)"
    assert noted("20260101-120000-cccccc", "Ada") == "Ada"


SAID = {PERSON: "Eve", "deletedCells": []}
KNOWN = {PERSON: "Kim (0a1b)", "deletedCells": []}


def test_whatever_a_browser_says_the_server_says_who_it_is() -> None:
    parts = [b"{}", b"{}", json.dumps(SAID).encode(), b'{"code": "1"}', b"buffer"]
    passed = named.with_person(
        serialize_msg_to_ws_v1(parts, "shell"), named.person_of(KIM), v1=True
    )
    channel, after = deserialize_msg_from_ws_v1(passed)

    assert (channel, after[:2], after[3:]) == ("shell", parts[:2], parts[3:])
    assert json.loads(after[2]) == KNOWN


def test_so_it_does_in_the_protocol_of_before() -> None:
    text = json.dumps({"channel": "shell", "metadata": SAID, "content": {}})
    after = json.loads(named.with_person(text, named.person_of(KIM), v1=False))

    assert after == {"channel": "shell", "metadata": KNOWN, "content": {}}


class Heard(Session):
    """What a kernel was sent."""

    messages: list[Any]

    def send(self, stream: Any, msg_or_type: Any, *_: Any, **__: Any) -> Any:
        self.messages.append(msg_or_type)

    def send_raw(self, stream: Any, msg_list: Any, *_: Any, **__: Any) -> None:
        self.messages.append(msg_list)


class Connection(named.NamingConnection):
    """One whose server allows all kinds of messages."""

    multi_kernel_manager = SimpleNamespace(allowed_message_types=[])


def passed_on(message: bytes, *, protocol: str | None) -> Any:
    """Return what a kernel is sent of a message from Kim's browser."""
    handler = KernelWebsocketHandler.__new__(KernelWebsocketHandler)
    handler.ws_connection = SimpleNamespace(selected_subprotocol=protocol)
    handler.current_user = KIM
    heard = Heard()
    heard.messages = []
    connection = Connection(websocket_handler=handler, session=heard)
    connection.channels = {"shell": None}
    connection.handle_incoming_message(message)
    (passed,) = heard.messages
    return passed


def test_which_protocol_it_is_the_connection_says() -> None:
    parts = [b"{}", b"{}", json.dumps(SAID).encode(), b'{"code": "1"}', b"buffer"]
    message = serialize_msg_to_ws_v1(parts, "shell")
    passed = passed_on(message, protocol="v1.kernel.websocket.jupyter.org")

    assert json.loads(passed[2]) == KNOWN
    assert passed[4:] == [b"buffer"]


@pytest.mark.parametrize("buffers", [[], [b"one"], [b"one", b"", b"\0" * 9]])
def test_its_bytes_with_buffers_are_not_taken_for_those_of_the_protocol_after_it(
    buffers: list[bytes],
) -> None:
    sent_at = "2026-11-29T11:00:00.123456Z"
    message = {
        "header": {"msg_type": "comm_msg", "date": sent_at}, "parent_header": {},
        "channel": "shell", "metadata": SAID, "content": {}, "buffers": buffers,
    }  # fmt: skip
    passed = passed_on(serialize_binary_message(message), protocol=None)

    assert passed["metadata"] == KNOWN
    assert passed["buffers"] == buffers
    assert passed["header"]["date"].isoformat().startswith("2026-11-29T11:00:00.123456")


def test_a_name_that_was_made_up_is_none_until_somebody_gives_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(named, "_renamed", {})
    visitor = User(username="0c", name="Anonymous Kalyke", display_name="Anonymous Kalyke")
    assert named.person_of(visitor) == ""
    # What is open keeps the name from before.
    named.NamingIdentityProvider(updatable_fields=["name", "display_name"]).update_user_model(
        User(username="0c", name="x", display_name="x"), {"display_name": "Kim", "name": "Kim"}
    )
    assert named.person_of(visitor) == "Kim (0c)"
