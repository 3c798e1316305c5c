"""The real `pass` with a real key."""

from __future__ import annotations

from pathlib import Path

import pytest

from opskit.errors import InputError, MissingToolError, OpskitError
from opskit.secrets.passstore import DEFAULT_TEMPLATE, PassStore, entry_path
from opskit.secrets.value import Secret


@pytest.mark.parametrize(
    "value", [b"simple", b"two\nlines", b"ends\n", b"\x00\xff\x01", "ünïcode".encode(), b"-dash"]
)
def test_what_is_stored_is_read_back_byte_for_byte(password_store: PassStore, value: bytes) -> None:
    password_store.store("hosts/s/app/secret", Secret(value))
    assert password_store.read("hosts/s/app/secret").reveal() == value


def test_entries_appear_are_replaced_and_go(password_store: PassStore) -> None:
    path = entry_path(DEFAULT_TEMPLATE, server="one.example", app="a.example", secret="pw")
    assert path == "hosts/one.example/a.example/pw"
    assert not password_store.exists(path)
    password_store.store(path, Secret("old value"))
    password_store.store(path, Secret("new value"))
    assert password_store.read(path).reveal() == b"new value"
    assert password_store.entries() == {path}
    password_store.remove(path)
    assert not password_store.exists(path)


def test_a_missing_entry_is_an_error_naming_it(password_store: PassStore) -> None:
    with pytest.raises(OpskitError, match="hosts/none"):
        password_store.read("hosts/none")


def test_a_store_that_was_never_initialised_is_an_error(
    password_store: PassStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PASSWORD_STORE_DIR", str(tmp_path / "other"))
    with pytest.raises(OpskitError, match="pass insert"):
        password_store.store("x", Secret("some value"))


def test_a_program_that_is_not_installed_is_named() -> None:
    with pytest.raises(MissingToolError, match="no-such-pass"):
        PassStore("no-such-pass")


@pytest.mark.parametrize("server", ["..", "", "a/../b", "."])
def test_a_path_cannot_lead_out_of_the_store(server: str) -> None:
    with pytest.raises(InputError):
        entry_path(DEFAULT_TEMPLATE, server=server, app="a", secret="s")


def test_a_template_that_cannot_be_filled_says_what_it_may_use() -> None:
    with pytest.raises(InputError, match=r"\{server\}"):
        entry_path("x/{nonsense}", server="s", app="a", secret="s")
