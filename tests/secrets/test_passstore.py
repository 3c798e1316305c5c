"""The real `pass` and `gopass`, with real keys."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import get_args

import pytest

from opskit.errors import InputError, LockHeldError, MissingToolError, OpskitError
from opskit.files.bounded import read_regular
from opskit.secrets.passstore import PassStore, entry_path
from opskit.secrets.value import Secret
from opskit.settings import Settings
from tests import githooks
from tests.disk import Disk
from tests.secrets.canary import CANARY, leaks, tracebacks

OPEN, LOCKED = "opskit@test.example", "locked@test.example"
ENTRY = "hosts/one.example/a.example/pw"


@pytest.fixture(scope="module")
def gnupg() -> Iterator[Path]:
    """Two keys, one behind a passphrase nobody types, in a folder short enough for a socket."""
    if not shutil.which("gpg"):
        pytest.skip("gpg is not installed (apt-get install gnupg)")
    home = Path(tempfile.mkdtemp(prefix="gpg", dir="/tmp"))
    home.chmod(0o700)
    pinentry = home / "pinentry"
    pinentry.write_text("#!/bin/sh\ncat >/dev/null  # never answers, ends with its agent\n")
    pinentry.chmod(0o700)
    (home / "gpg-agent.conf").write_text(f"pinentry-program {pinentry}\n")
    (home / "gpg.conf").write_text("no-auto-key-locate\n")  # nothing is asked of the network
    for user, passphrase in ((OPEN, ""), (LOCKED, "no one knows")):
        gpg(home, "--pinentry-mode", "loopback", "--passphrase", passphrase,
            "--quick-gen-key", user, "default", "default")  # fmt: skip
    yield home
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False)
    shutil.rmtree(home, ignore_errors=True)


def gpg(home: Path, *arguments: str) -> bytes:
    command = ["gpg", "--homedir", str(home), "--batch", "--quiet", *arguments]
    return subprocess.run(command, check=True, capture_output=True).stdout


@pytest.fixture
def home(gnupg: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with the keys and no store yet."""
    for name in [n for n in os.environ if n.startswith(("PASSWORD_STORE_", "GOPASS_", "GIT_"))]:
        monkeypatch.delenv(name)
    for name, value in {
        "HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "XDG_DATA_HOME": str(tmp_path / "data"),
        "GNUPGHOME": str(gnupg),
        "GIT_AUTHOR_NAME": "opskit",
        "GIT_AUTHOR_EMAIL": OPEN,
        "GIT_COMMITTER_NAME": "opskit",
        "GIT_COMMITTER_EMAIL": OPEN,
    }.items():
        monkeypatch.setenv(name, value)
    return tmp_path


@pytest.fixture
def folder(home: Path) -> Path:
    """A store of `pass`, initialised."""
    if not shutil.which("pass"):
        pytest.skip("pass is not installed (apt-get install pass)")
    subprocess.run(["pass", "init", OPEN], check=True, capture_output=True)
    return home / ".password-store"


def is_gopasspw() -> bool:
    """Ask the program itself: Debian's package of that name knows no --version."""
    if not shutil.which("gopass"):
        return False
    said = subprocess.run(["gopass", "--version"], check=False, capture_output=True, text=True)
    return said.returncode == 0 and " go1" in said.stdout


@pytest.fixture(params=["pass", "gopass"])
def store(request: pytest.FixtureRequest, home: Path) -> PassStore:
    """A store of either program: both must behave alike."""
    if request.param == "pass":
        request.getfixturevalue("folder")
    elif not is_gopasspw():
        pytest.skip("gopasspw's gopass is not installed (Debian's is another program)")
    else:
        command = ["gopass", "init", "--storage", "gitfs", OPEN]
        subprocess.run(command, check=True, capture_output=True)
    return PassStore(request.param)


@pytest.mark.parametrize(
    "value",
    [
        b"simple",
        b"two\nlines",
        b"ends\n",
        b"ends twice\n\n",
        b"windows\r\n",
        b"field: of a form\n---\nyaml: 0123\n",
        b"\x00\xff\x01",
        bytes(range(256)) * 40,
        "ünïcode".encode(),
        b"-dash",
        b"  blanks  ",
        b" ",
        CANARY.encode(),
    ],
)
def test_what_is_stored_is_read_back_byte_for_byte(store: PassStore, value: bytes) -> None:
    store.store(ENTRY, Secret(value, allow_blank=True))
    assert store.read(ENTRY).reveal() == value


def test_entries_appear_are_replaced_and_go(store: PassStore) -> None:
    assert not store.exists(ENTRY)
    store.store(ENTRY, Secret("old value"))
    store.store(ENTRY, Secret("new value"))
    assert store.exists(ENTRY)
    assert store.read(ENTRY).reveal() == b"new value"

    store.remove(ENTRY)
    assert not store.exists(ENTRY)
    assert store.entries() == frozenset()


def test_entries_are_listed_whole_or_below_a_folder(store: PassStore) -> None:
    paths = {"hosts/one/a.b/pw", "hosts/one/a.b/key", "hosts/one-more/a/pw", "web/login"}
    for path in paths:
        store.store(path, Secret("value"))

    assert store.entries() == paths
    assert store.entries("hosts/one") == {"hosts/one/a.b/pw", "hosts/one/a.b/key"}
    assert store.entries("hosts/none/") == frozenset()


def test_a_missing_entry_is_an_error_naming_it(store: PassStore) -> None:
    for call in (store.read, store.remove):
        with pytest.raises(OpskitError, match="hosts/none"):
            call("hosts/none")


def test_an_entry_looks_as_if_pass_had_written_it(folder: Path) -> None:
    PassStore("pass").store(ENTRY, Secret("a value"))
    command = ["pass", "insert", "--echo", "by-hand"]
    subprocess.run(command, input=b"a value\n", check=True, capture_output=True)

    shown = [subprocess.check_output(["pass", "show", path]) for path in (ENTRY, "by-hand")]
    assert shown == [b"a value\n"] * 2
    assert PassStore("pass").read("by-hand").reveal() == b"a value"


def test_the_old_value_stays_in_the_history_of_a_store_that_is_a_git_checkout(
    folder: Path, gnupg: Path
) -> None:
    subprocess.run(["pass", "git", "init"], check=True, capture_output=True)
    store = PassStore("pass")
    store.store(ENTRY, Secret("the old value"))
    store.store(ENTRY, Secret("the new value"))
    store.remove(ENTRY)

    for back, value in ((1, b"the new value\n"), (2, b"the old value\n")):
        sealed = folder.parent / f"{back}.gpg"
        name = f"HEAD~{back}:{ENTRY}.gpg"
        sealed.write_bytes(subprocess.check_output(["git", "-C", str(folder), "show", name]))
        assert gpg(gnupg, "--decrypt", str(sealed)) == value


def test_stacks_may_write_to_a_git_checkout_at_the_same_time(folder: Path) -> None:
    subprocess.run(["pass", "git", "init"], check=True, capture_output=True)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: PassStore("pass").store(f"s/{n}", Secret(f"value {n}")), range(8)))

    status = ["git", "-C", str(folder), "status", "--porcelain"]
    assert subprocess.check_output(status) == b""
    assert len(PassStore("pass").entries()) == 8


def test_a_configured_folder_is_used(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = folder.rename(folder.with_name("elsewhere"))
    monkeypatch.setenv("PASSWORD_STORE_DIR", str(elsewhere))
    PassStore().store(ENTRY, Secret("a value"))

    assert PassStore().entries() == {ENTRY}
    assert (elsewhere / f"{ENTRY}.gpg").is_file()
    assert not folder.exists()


def test_linked_folders_and_git_s_own_are_listed_as_pass_does(folder: Path) -> None:
    PassStore("pass").store("team/shared", Secret("a value"))
    (folder / "team").rename(folder.parent / "team")
    (folder / "team").symlink_to(folder.parent / "team")
    (folder / ".git").mkdir()
    (folder / ".git" / "x.gpg").touch()
    (folder / "README.md").touch()

    assert PassStore("pass").entries() == {"team/shared"}


def test_a_value_is_never_an_argument_nor_in_an_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = folder.parent / "bin" / "pass"
    program.parent.mkdir()
    record = folder.parent / "record"
    program.write_text(f'#!/bin/sh\n{{ echo "$@"; env; }} > {record}\ncat >&2\nexit 1\n')
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    with pytest.raises(OpskitError) as failed:
        PassStore().store(ENTRY, Secret("a canary of one line"))

    assert not leaks(record.read_text(), "a canary of one line")
    assert not leaks(str(failed.value), "a canary of one line")
    assert not leaks(tracebacks(failed.value, without=__file__), "a canary of one line")


def test_a_store_that_was_never_initialised_says_what_to_do(home: Path, folder: Path) -> None:
    shutil.rmtree(folder)
    with pytest.raises(OpskitError, match=r"never initialised.*pass init"):
        PassStore("pass").store(ENTRY, Secret("some value"))


def test_a_store_for_a_key_that_is_not_here_says_so(folder: Path) -> None:
    (folder / ".gpg-id").write_text("stranger@test.example\n")
    with pytest.raises(OpskitError, match=r"no key of stranger@test\.example"):
        PassStore("pass").store(ENTRY, Secret("some value"))


def test_a_store_whose_secret_key_is_not_here_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    PassStore("pass").store(ENTRY, Secret("some value"))
    stranger = Path(tempfile.mkdtemp(prefix="gpg", dir="/tmp"))
    monkeypatch.setenv("GNUPGHOME", str(stranger))
    try:
        with pytest.raises(
            OpskitError, match=f"encrypted to {OPEN}, and no such secret key is here"
        ):
            PassStore("pass").read(ENTRY)
    finally:
        subprocess.run(["gpgconf", "--homedir", str(stranger), "--kill", "all"], check=False)
        # Its agent may be removing its sockets still.
        shutil.rmtree(stranger, ignore_errors=True)


@pytest.mark.slow
def test_a_passphrase_nobody_types_does_not_hold_things_up_for_ever(folder: Path) -> None:
    (folder / ".gpg-id").write_text(f"{LOCKED}\n")
    PassStore("pass").store(ENTRY, Secret("needs no passphrase to store"))
    with pytest.raises(OpskitError, match=r"waiting for a passphrase.*pass show"):
        PassStore("pass", seconds=1).read(ENTRY)


def test_a_history_that_cannot_be_written_is_an_error_though_pass_says_nothing(
    folder: Path,
) -> None:
    subprocess.run(["pass", "git", "init"], check=True, capture_output=True)
    (folder / ".git" / "index.lock").touch()
    with pytest.raises(OpskitError, match="another program writes"):
        PassStore("pass").store(ENTRY, Secret("some value"))


def test_a_checkout_above_a_store_without_history_is_none_of_the_store_s(folder: Path) -> None:
    subprocess.run(["git", "init", "--quiet", str(folder.parent)], check=True)
    store = PassStore("pass")

    assert store.store(ENTRY, Secret("some value")) == ""
    assert store.read(ENTRY) == Secret("some value")
    assert store.remove(ENTRY) == ""


@pytest.mark.parametrize("hook", get_args(githooks.Hook))
def test_the_store_s_own_history_has_an_entry_though_a_git_hook_runs_opskit(
    folder: Path, hook: githooks.Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run(["pass", "git", "init"], check=True, capture_output=True)
    with monkeypatch.context() as hooked:
        githooks.enter(hook, folder.parent, hooked)
        assert PassStore("pass").store(ENTRY, Secret("some value")) == ""

    committed = ["git", "-C", str(folder), "show", "--format=", "--name-only"]
    assert subprocess.check_output(committed, text=True).split() == [f"{ENTRY}.gpg"]


def test_a_ctrl_c_does_not_reach_the_git_that_is_asked_whether_an_entry_is_kept(
    home: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run(["pass", "git", "init"], check=True, capture_output=True)
    seen = home / "sessions"
    # The sixth field of a process's stat is its session, which a terminal interrupts as a whole.
    tells = f'#!/bin/sh\necho "$1 $(cut -d" " -f6 /proc/$$/stat)" >> {seen}\n'
    programs(home, git=f'{tells}exec {shutil.which("git")} "$@"\n')
    monkeypatch.setenv("PATH", str(home), prepend=os.pathsep)
    assert PassStore("pass").store(ENTRY, Secret("some value")) == ""

    asked = [line.split() for line in seen.read_text().splitlines()]
    own = str(os.getsid(0))
    assert asked
    assert [command for command, session in asked if session == own] == []


def test_gopass_commits_to_its_own_store_though_a_git_hook_runs_opskit(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """gopass itself runs git in whatever environment it finds itself."""
    store = home / "store"
    subprocess.run(["git", "init", "--quiet", "--template=", str(store)], check=True)
    commits = f"""#!/bin/sh
case $1 in
    --version) {GOPASSPW.splitlines()[-1]} ;;
    *) cd {store} && cat > entry && git add entry && git commit --quiet -m Add ;;
esac
"""
    programs(home, gopass=commits)
    monkeypatch.setenv("PATH", str(home), prepend=os.pathsep)
    with monkeypatch.context() as hooked:
        githooks.enter("pre-commit", home, hooked)
        PassStore("gopass").store(ENTRY, Secret("some value"))

    committed = ["git", "-C", str(store), "show", "--format=", "--name-only"]
    assert subprocess.check_output(committed, text=True).split() == ["entry"]


def test_a_program_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MissingToolError, match="no-such-pass"):
        PassStore("no-such-pass")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingToolError, match="apt-get install pass"):
        PassStore()


GOPASSPW = """#!/bin/sh
echo "gopass 1.15.13 go1.22.5 linux amd64"
"""
OTHER_GOPASS = """#!/bin/sh
case $1 in version) echo "gopass v1.5.0" ;; *) echo "Usage: gopass show" >&2; exit 1 ;; esac
"""
"""Debian's package gopass 1.5.0 answers so: it is https://github.com/aviau/gopass."""


def programs(folder: Path, **texts: str) -> None:
    for name, text in texts.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o700)


@pytest.mark.parametrize(
    ("there", "initialised", "chosen"),
    [
        ({"pass": ""}, False, "pass"),
        ({"pass": "", "gopass": GOPASSPW}, True, "pass"),
        ({"pass": "", "gopass": GOPASSPW}, False, "gopass"),
        ({"gopass": GOPASSPW}, True, "gopass"),
        ({"pass": "", "gopass": OTHER_GOPASS}, True, "pass"),
        ({"pass": "", "gopass": OTHER_GOPASS}, False, "pass"),
    ],
)
def test_the_program_whose_store_there_is_is_chosen(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    there: dict[str, str],
    initialised: bool,
    chosen: str,
) -> None:
    programs(tmp_path, **there)
    if initialised:
        (tmp_path / ".gpg-id").touch()
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    monkeypatch.setattr(shutil, "which", only_in(tmp_path))
    monkeypatch.setenv("PASSWORD_STORE_DIR", str(tmp_path))

    assert PassStore().program == chosen


def only_in(folder: Path) -> Callable[[str], str | None]:
    """Look programs up in one folder, whatever this machine has installed."""
    return lambda name: str(folder / name) if (folder / name).exists() else None


def test_another_program_of_gopass_s_name_is_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs(tmp_path, gopass=OTHER_GOPASS)
    monkeypatch.setattr(shutil, "which", only_in(tmp_path))
    monkeypatch.setenv("PASSWORD_STORE_DIR", str(tmp_path))

    with pytest.raises(InputError, match=r"another program of that name.*apt-get install pass"):
        PassStore()


def test_what_git_said_is_passed_on_though_gopass_ended_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = f"""#!/bin/sh
case $1 in
    --version) {GOPASSPW.splitlines()[-1]} ;;
    *) cat >/dev/null; echo "fatal: unable to access the remote" >&2 ;;
esac
"""
    programs(tmp_path, gopass=answers)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    remark = PassStore("gopass").store(ENTRY, Secret("a value for tests"))
    assert remark == "the password store: fatal: unable to access the remote"


def test_a_store_that_was_never_initialised_is_named_before_anything_is_written(
    home: Path,
) -> None:
    if not shutil.which("pass"):
        pytest.skip("pass is not installed (apt-get install pass)")
    with pytest.raises(InputError, match=r"never initialised.*pass init"):
        PassStore("pass").check_ready(ENTRY)

    subprocess.run(["pass", "init", "-p", "hosts/one.example", OPEN], check=True)

    PassStore("pass").check_ready(ENTRY)
    with pytest.raises(InputError, match="never initialised"):
        PassStore("pass").check_ready("hosts/two.example/a.example/pw")


def test_the_default_path_is_abra_s_and_a_template_may_differ() -> None:
    place = {"server": "one.example", "app": "a.example", "secret": "pw"}
    assert entry_path(Settings().pass_template, **place) == "hosts/one.example/a.example/pw"
    assert entry_path("ops/{app}/{secret}@{server}", **place) == "ops/a.example/pw@one.example"


@pytest.mark.parametrize("server", ["..", "", "a/../b", ".", ".git", "-rf", "a\nb"])
def test_a_path_cannot_lead_out_of_the_store_or_into_its_machinery(server: str) -> None:
    with pytest.raises(InputError):
        entry_path(Settings().pass_template, server=server, app="a", secret="s")


@pytest.mark.parametrize("path", ["/etc/x", "../x", "a/../../x", "a//b", "a/", "-c", ""])
def test_no_call_takes_a_path_out_of_the_store(folder: Path, path: str) -> None:
    store = PassStore("pass")
    calls = [lambda: store.store(path, Secret("some value")), lambda: store.read(path),
             lambda: store.remove(path), lambda: store.exists(path)]  # fmt: skip
    for call in calls:
        with pytest.raises(InputError):
            call()


@pytest.mark.parametrize("template", ["x/{nonsense}", "x/{server.__class__}", "x/{", "{}", "{0}"])
def test_a_template_that_cannot_be_filled_says_what_it_may_use(template: str) -> None:
    with pytest.raises(InputError, match=r"\{server\}"):
        entry_path(template, server="s", app="a", secret="s")


@pytest.mark.slow
def test_who_waits_for_other_stacks_calls_is_attended_and_may_give_up(
    password_store: PassStore,
) -> None:
    def lost() -> None:
        raise LockHeldError("shop is locked by kim")

    turn = PassStore._writing
    with turn, pytest.raises(LockHeldError):
        password_store.attended(lost).store("shop/token", Secret("a value for tests"))
    asked: list[bool] = []
    password_store.attended(lambda: asked.append(True)).store("shop/token", Secret("a value"))
    assert asked
    assert password_store.read("shop/token") == Secret("a value")


# -- a full disk --------------------------------------------------------------------------


@pytest.fixture
def on_disk(home: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch) -> PassStore:
    """A store of `pass` on a disk that a test may fill, with one entry."""
    monkeypatch.setenv("PASSWORD_STORE_DIR", str(disk.path / "store"))
    subprocess.run(["pass", "init", OPEN], check=True, capture_output=True)
    store = PassStore("pass")
    store.store(ENTRY, Secret(CANARY))
    disk.fill()
    return store


# gpg fills one page of a disk before it finds it full.
LARGE = Secret(os.urandom(9000))


def test_an_entry_is_put_back_where_gpg_wrote_over_it_and_the_disk_was_full(
    on_disk: PassStore,
) -> None:
    with pytest.raises(OpskitError, match=r"disk .* is full.*\(Its entry was put back"):
        on_disk.store(ENTRY, LARGE)
    assert on_disk.read(ENTRY) == Secret(CANARY)


def test_the_beginning_of_a_new_entry_is_not_taken_for_one(on_disk: PassStore, disk: Disk) -> None:
    disk.drain()
    with (disk.path / "ballast").open("wb") as ballast:
        free = os.statvfs(disk.path).f_bavail * os.statvfs(disk.path).f_frsize
        ballast.write(b"x" * (free - 8192))
    with pytest.raises(OpskitError, match=r"disk .* is full"):
        on_disk.store(f"{ENTRY}.next", LARGE)
    assert not on_disk.exists(f"{ENTRY}.next")


@pytest.mark.parametrize("fault", [errno.EMFILE, errno.EIO, errno.EACCES])
def test_an_entry_that_cannot_be_read_for_putting_it_back_is_not_written_over(
    fault: int, on_disk: PassStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = Path(os.environ["PASSWORD_STORE_DIR"]) / f"{ENTRY}.gpg"
    before = file.read_bytes()
    faults = [OSError(fault, os.strerror(fault))]

    def at_first(path: Path, limit: int) -> bytes:
        if faults:
            raise faults.pop()
        return read_regular(path, limit)

    monkeypatch.setattr("opskit.secrets.passstore.read_regular", at_first)
    with pytest.raises(OpskitError, match=rf"not written over: {os.strerror(fault)}\."):
        on_disk.store(ENTRY, LARGE)
    assert file.read_bytes() == before


def test_what_is_no_file_is_not_written_over(folder: Path) -> None:
    (folder / "shop" / "token.gpg").mkdir(parents=True)
    with pytest.raises(OpskitError, match="this is no regular file"):
        PassStore("pass").store("shop/token", Secret("a value"))
    assert (folder / "shop" / "token.gpg").is_dir()


def test_an_entry_that_cannot_be_put_back_is_named_with_the_way_to_restore_it(
    on_disk: PassStore, disk: Disk, home: Path
) -> None:
    """A disk that fails under gpg, which is how it turns read-only."""
    program = home / "failing" / "pass"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\n: > "$PASSWORD_STORE_DIR/{ENTRY}.gpg"\n'
        f"mount -o remount,ro {disk.path}\nexit 1\n"
    )
    program.chmod(0o700)
    with pytest.raises(OpskitError, match=rf"damaged now.*pass git checkout -- {ENTRY}\.gpg"):
        PassStore(str(program)).store(ENTRY, Secret(b"x" * 20))
