"""The real `pass` with a real key."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from opskit.errors import InputError, MissingToolError, OpskitError
from opskit.secrets.passstore import DEFAULT_TEMPLATE, PassStore, entry_path
from opskit.secrets.value import Secret


@pytest.fixture(scope="module")
def gnupg() -> Iterator[Path]:
    """A key without a passphrase, in a folder whose name is short enough for gpg's socket."""
    if not shutil.which("pass") or not shutil.which("gpg"):
        pytest.skip("pass and gnupg are not installed")
    home = Path(tempfile.mkdtemp(prefix="gpg", dir="/tmp"))
    home.chmod(0o700)
    gpg = ["gpg", "--homedir", str(home), "--batch", "--quiet"]
    subprocess.run(
        [*gpg, "--passphrase", "", "--quick-gen-key", "opskit@test.example", "default", "default"],
        check=True,
        capture_output=True,
    )
    yield home
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False)
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def store(gnupg: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PassStore:
    monkeypatch.setenv("GNUPGHOME", str(gnupg))
    monkeypatch.setenv("PASSWORD_STORE_DIR", str(tmp_path / "store"))
    subprocess.run(["pass", "init", "opskit@test.example"], check=True, capture_output=True)
    return PassStore("pass")


@pytest.mark.parametrize(
    "value", [b"simple", b"two\nlines", b"ends\n", b"\x00\xff\x01", "ünïcode".encode(), b"-dash"]
)
def test_what_is_stored_is_read_back_byte_for_byte(store: PassStore, value: bytes) -> None:
    store.store("hosts/s/app/secret", Secret(value))
    assert store.read("hosts/s/app/secret").reveal() == value


def test_entries_appear_are_replaced_and_go(store: PassStore) -> None:
    path = entry_path(DEFAULT_TEMPLATE, server="one.example", app="a.example", secret="pw")
    assert path == "hosts/one.example/a.example/pw"
    assert not store.exists(path)
    store.store(path, Secret("old value"))
    store.store(path, Secret("new value"))
    assert store.read(path).reveal() == b"new value"
    assert store.entries() == {path}
    store.remove(path)
    assert not store.exists(path)


def test_a_missing_entry_is_an_error_naming_it(store: PassStore) -> None:
    with pytest.raises(OpskitError, match="hosts/none"):
        store.read("hosts/none")


def test_a_store_that_was_never_initialised_is_an_error(
    store: PassStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PASSWORD_STORE_DIR", str(tmp_path / "other"))
    with pytest.raises(OpskitError, match="pass insert"):
        store.store("x", Secret("some value"))


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
