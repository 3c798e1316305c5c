"""The secret field by itself, without a browser."""

from __future__ import annotations

from typing import Any

import pytest

from opskit.errors import InputError
from opskit.secrets.sealed import SEALER, seal
from opskit.secrets.value import Secret
from opskit.widgets.person import Person
from opskit.widgets.secret_input import SecretInput, ask

CANARY = "c4nary-of-the-field"


def hand_over(field: SecretInput, value: str = CANARY, purpose: str = "input") -> None:
    sealed = seal(Secret(value), SEALER.public, purpose=purpose)
    who = {"username": "ada", "name": "Ada"}
    field._handed_over(field, {"type": "sealed", "who": who, "sealed": sealed}, None)


def test_a_value_arrives_with_who_gave_it_and_is_in_no_state() -> None:
    got: list[tuple[Secret, Person]] = []
    field = SecretInput("The provider's key", lambda *given: got.append(given))
    hand_over(field)

    ((value, who),) = got
    assert value == Secret(CANARY)
    assert who.name == "Ada"
    assert "received from Ada" in field.status
    assert CANARY not in repr(field.get_state())


@pytest.mark.parametrize("message", [None, "x", {}, {"sealed": 3}])
def test_junk_is_refused(message: Any) -> None:
    field = SecretInput("key", lambda *_: pytest.fail("nothing was handed over"))
    field._handed_over(field, message, None)
    assert "received" not in field.status


def test_a_fault_of_the_cells_code_is_shown_masked() -> None:
    def faulty(value: Secret, _: Person) -> None:
        raise ValueError(value.reveal().decode())

    field = SecretInput("key", faulty)
    hand_over(field)
    assert "ValueError: [redacted]" in field.status


def test_it_says_in_words_what_it_is_where_no_widget_is_shown() -> None:
    bundle: Any = SecretInput("The key", lambda *_: None)._repr_mimebundle_()
    data = bundle[0] if isinstance(bundle, tuple) else bundle
    assert data["text/plain"].startswith(
        "opskit secret field: The key. Nothing was given. It takes"
    )


def test_its_words_tell_what_came_of_it() -> None:
    field = SecretInput("The provider's key", lambda *_: None)
    hand_over(field)
    assert repr(field).startswith("opskit secret field: The provider's key. Received from Ada at ")


def test_without_a_terminal_asking_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("getpass.getpass", lambda _: (_ for _ in ()).throw(EOFError))
    with pytest.raises(InputError, match="no terminal"):
        ask("The key")
