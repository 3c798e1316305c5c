"""What the real `pass`, gpg and git say when they refuse, and what the operator is told of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from opskit.errors import OpskitError
from opskit.secrets.passstore import PassStore
from opskit.secrets.recipients import names_of
from opskit.secrets.refusals import line_that_matters
from opskit.secrets.value import Secret
from tests.disk import small_disk

ME, LEE, OLD, GONE, LOCKED = (
    f"{who}@test.example" for who in ("me", "lee", "old", "gone", "locked")
)
ENTRY = "hosts/one.example/a.example/pw"
VALUE = Secret("a value for tests")


@pytest.fixture(scope="module")
def ring() -> Iterator[Path]:
    """My key, Lee's that nobody vouches for, one that expired, one revoked, one nobody opens."""
    if not shutil.which("pass"):
        pytest.skip("pass is not installed (apt-get install pass)")
    home = Path(tempfile.mkdtemp(prefix="gpg", dir="/tmp"))
    (home / "gpg.conf").write_text("no-auto-key-locate\n")  # nothing is asked of the network
    (home / "gpg-agent.conf").write_text("pinentry-program /nonexistent\n")
    elsewhere = Path(tempfile.mkdtemp(prefix="gpg", dir="/tmp"))
    for user in (ME, GONE):
        make_key(home, user)
    make_key(home, LOCKED, passphrase="no one knows")
    make_key(home, OLD, "1d", "--faked-system-time", "20200101T000000")
    revocation = home / "openpgp-revocs.d" / f"{fingerprint(home, GONE)}.rev"
    gpg(home, "--import", given=revocation.read_bytes().replace(b"\n:---", b"\n---"))
    make_key(elsewhere, LEE)
    gpg(home, "--import", given=gpg(elsewhere, "--export", LEE))
    gpg(home, "--check-trustdb")
    yield home
    for folder in (home, elsewhere):
        subprocess.run(["gpgconf", "--homedir", str(folder), "--kill", "all"], check=False)
        shutil.rmtree(folder, ignore_errors=True)


def gpg(home: Path, *arguments: str, given: bytes = b"") -> bytes:
    command = ["gpg", "--homedir", str(home), "--batch", "--quiet", *arguments]
    return subprocess.run(command, check=True, capture_output=True, input=given).stdout


def make_key(
    home: Path, user: str, expires: str = "never", *options: str, passphrase: str = ""
) -> None:
    gpg(home, "--pinentry-mode", "loopback", "--passphrase", passphrase, *options,
        "--quick-gen-key", user, "future-default", "default", expires)  # fmt: skip
    if options:
        subkey = ("--quick-add-key", fingerprint(home, user), "cv25519", "encr", expires)
        gpg(home, "--pinentry-mode", "loopback", "--passphrase", passphrase, *options, *subkey)


def fingerprint(home: Path, user: str) -> str:
    listed = gpg(home, "--with-colons", "--list-keys", user).decode().splitlines()
    return next(line.split(":")[9] for line in listed if line.startswith("fpr:"))


@pytest.fixture
def folder(ring: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of mine."""
    for name in [n for n in os.environ if n.startswith(("PASSWORD_STORE_", "GIT_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GNUPGHOME", str(ring))
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "opskit")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", ME)
    subprocess.run(["pass", "init", ME], check=True, capture_output=True)
    return tmp_path / ".password-store"


def refused(path: str = ENTRY) -> str:
    """Give what is said of an entry that cannot be written."""
    with pytest.raises(OpskitError) as failed:
        PassStore("pass").store(path, VALUE)
    assert "a value for tests" not in str(failed.value)
    return str(failed.value)


def name_in(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    listed = folder / ".gpg-id"
    listed.write_text("".join(f"{name}\n" for name in names))
    return listed


@pytest.mark.slow
def test_a_stranger_is_named_with_the_file_that_names_them(folder: Path) -> None:
    listed = name_in(folder / "hosts", ME, "stranger@test.example  # since May")
    said = refused()
    assert f"gpg has no key of stranger@test.example, whom {listed} names." in said
    assert f"take stranger@test.example out: pass init -p hosts {ME}" in said


def test_a_name_that_is_no_utf8_does_not_hide_why(folder: Path) -> None:
    listed = name_in(folder)
    listed.write_bytes(b"nobody@test.example\nren\xe9@test.example\n")
    assert names_of(listed) == ("nobody@test.example", "ren\ufffd@test.example")
    assert f"gpg has no key of ren\ufffd@test.example, whom {listed} names." in refused()


def test_a_list_of_names_that_cannot_be_read_names_nobody(tmp_path: Path) -> None:
    assert names_of(tmp_path) == ()


@pytest.mark.parametrize("by", ["address", "fingerprint"])
def test_a_key_that_expired_is_said_to_have_expired(folder: Path, ring: Path, by: str) -> None:
    who = OLD if by == "address" else fingerprint(ring, OLD)
    listed = name_in(folder, ME, who)
    said = refused()
    assert f"the key of {who}, whom {listed} names, expired on 2020-01-02." in said
    assert f"gpg --quick-set-expire {fingerprint(ring, OLD)} 1y" in said
    assert f"take {who} out: pass init {ME}" in said


@pytest.mark.parametrize("by", ["address", "fingerprint"])
def test_a_revoked_key_is_said_to_be_revoked(folder: Path, ring: Path, by: str) -> None:
    who = GONE if by == "address" else fingerprint(ring, GONE)
    name_in(folder, who)
    said = refused()
    assert f"the key of {who}, whom {folder}/.gpg-id names, was revoked." in said
    assert f"take {who} out: pass init ANOTHER-KEY" in said


def test_a_key_that_nobody_vouches_for_is_named_by_its_owner(folder: Path, ring: Path) -> None:
    name_in(folder, LEE)
    said = refused()
    assert (
        f"gpg does not know that the key of {LEE}, whom {folder}/.gpg-id names, is theirs" in said
    )
    assert f"gpg --quick-lsign-key {fingerprint(ring, LEE)}" in said


def test_a_file_that_names_nobody_says_so(folder: Path) -> None:
    name_in(folder, "# nobody yet")
    assert f"{folder}/.gpg-id names nobody to encrypt to. Go on with: pass init" in refused()


def test_a_key_of_the_environment_is_said_to_be_of_the_environment(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PASSWORD_STORE_KEY", "stranger@test.example")
    assert "gpg has no key of stranger@test.example, whom PASSWORD_STORE_KEY names" in refused()


def test_an_entry_that_no_key_here_opens_says_whose_do(folder: Path, ring: Path) -> None:
    sealed = folder / "theirs.gpg"
    gpg(ring, "--trust-model", "always", "-e", "-r", LEE, "-o", str(sealed), "/etc/hostname")
    with pytest.raises(OpskitError) as failed:
        PassStore("pass").read("theirs")
    assert f"it is encrypted to {LEE}, and no such secret key is here" in str(failed.value)
    assert f"pass init {ME} YOUR-KEY" in str(failed.value)


def test_a_key_that_stays_locked_is_told_from_one_that_is_not_here(folder: Path) -> None:
    name_in(folder, LOCKED)
    PassStore("pass").store(ENTRY, VALUE)
    with pytest.raises(OpskitError) as failed:
        PassStore("pass").read(ENTRY)
    assert f"the secret key of {LOCKED} stayed locked" in str(failed.value)
    assert f"pass show {ENTRY}" in str(failed.value)


def test_a_file_that_is_none_of_gpg_s_is_named(folder: Path) -> None:
    (folder / "broken.gpg").write_text("<<<<<<< HEAD\n")
    with pytest.raises(OpskitError, match=rf"its file {folder}/broken\.gpg is none of gpg's"):
        PassStore("pass").read("broken")


def test_a_full_disk_and_one_that_cannot_be_written_are_named(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with small_disk(tmp_path / "disk") as disk:
        shutil.copytree(folder, disk.path, dirs_exist_ok=True)
        monkeypatch.setenv("PASSWORD_STORE_DIR", str(disk.path))
        PassStore("pass").store(ENTRY, VALUE)
        disk.fill()
        assert f"the disk with the password store is full. Make room: df -h {disk.path}" in refused(
            "another/entry"
        )
        disk.make_read_only()
        assert f"mounted read-only. See why: findmnt -T {disk.path}" in refused()
        # pass ends with 0 here.
        with pytest.raises(OpskitError, match=r"pass rm .* failed: .*mounted read-only"):
            PassStore("pass").remove(ENTRY)


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def hook(folder: Path, name: str, script: str) -> None:
    path = folder / ".git" / "hooks" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o700)


@pytest.fixture
def checkout(folder: Path) -> Path:
    subprocess.run(["pass", "git", "init"], check=True, capture_output=True)
    return folder


def test_a_push_that_fails_costs_no_entry_and_is_said(checkout: Path) -> None:
    hook(checkout, "post-commit", "git push origin HEAD")
    store = PassStore("pass")
    said = store.store(ENTRY, VALUE)
    assert said == "the password store: fatal: 'origin' does not appear to be a git repository"
    assert store.read(ENTRY) == VALUE
    assert git(checkout, "status", "--porcelain") == ""

    git(checkout, "init", "--quiet", "--bare", "../theirs")
    git(checkout, "remote", "add", "origin", "../theirs")
    assert store.store(ENTRY, Secret("another value")) == ""
    git(checkout, "commit", "--quiet", "--amend", "--no-verify", "-m", "rewritten")
    assert "! [rejected]" in store.remove(ENTRY)
    assert not store.exists(ENTRY)


@pytest.mark.parametrize(
    ("why", "told"),
    [
        ("hook", "history: no values on Fridays"),
        ("signature", "git could not sign its commit"),
        ("lock", "another program writes to the store's git checkout"),
        ("owner", "another user owns it. If you trust it: git config"),
        ("identity", "git does not know your name"),
    ],
)
def test_a_history_that_lacks_the_entry_is_an_error(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, why: str, told: str
) -> None:
    """With what pass makes of it: it ends with 0 each time."""
    match why:
        case "hook":
            hook(checkout, "pre-commit", "echo no values on Fridays >&2; exit 1")
        case "signature":
            git(checkout, "config", "commit.gpgsign", "true")
            git(checkout, "config", "user.signingkey", "stranger@test.example")
        case "lock":
            (checkout / ".git" / "index.lock").touch()
        case "owner":
            if os.geteuid() != 0:
                pytest.skip("giving a folder away needs root")
            shutil.chown(checkout, "nobody")
            shutil.chown(checkout / ".git", "nobody")
        case _:
            for name in ("AUTHOR", "COMMITTER"):
                monkeypatch.delenv(f"GIT_{name}_NAME")
                monkeypatch.delenv(f"GIT_{name}_EMAIL")
            git(checkout, "config", "user.useConfigOnly", "true")
    said = refused()
    assert "git did not take it into the store's history: " in said
    assert told in said


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["gpg: error retrieving 'a@b' via WKD: No data", "gpg: odd",
          "Password encryption aborted."], "gpg: odd"),
        (["hint: do this", "fatal: no.", "Please make sure you have the correct access rights",
          "and the repository exists."], "fatal: no"),
        (["a stranger's program", "says something"], "says something"),
        (["Password encryption aborted.", ""], ""),
    ],
)  # fmt: skip
def test_of_words_nobody_knows_the_line_that_matters_is_told(lines: list[str], told: str) -> None:
    assert line_that_matters(lines) == told
