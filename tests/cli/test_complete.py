"""What a shell completes, asked through a real bash."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from opskit.demo.dockerd import DockerdFleet
from opskit.demo.fleet import DemoFleet
from tests.waiting import LIMIT

Use = Callable[[DemoFleet | DockerdFleet], Path]
BIN = Path(sys.executable).parent
SCRIPT = """
source <(opskit --show-completion bash)
COMP_WORDS=("$@"); COMP_CWORD=$(( $# - 1 ))
_opskit_completion opskit
printf '%s\\n' "${COMPREPLY[@]}"
"""

pytestmark = [
    pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed"),
    pytest.mark.slow,
]


def complete(*words: str, **environment: str) -> list[str]:
    """Press the tab key behind these words, in a folder where an attack would leave a file."""
    folder = environment.get("ABRA_DIR", ".")
    env = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", **environment}
    ended = subprocess.run(
        ["bash", "--norc", "-c", SCRIPT, "bash", "opskit", *words],
        env=env, cwd=folder, capture_output=True, text=True, check=True, timeout=LIMIT,
    )  # fmt: skip
    assert ended.stderr == ""
    return ended.stdout.split("\n")[:-1]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An abra folder of two servers."""
    for server, apps in {"one.example": ("wiki", "shop"), "two.example": ("wiki", "pad")}.items():
        folder = tmp_path / "servers" / server
        folder.mkdir(parents=True)
        for app in apps:
            (folder / f"{app}.env").write_text(
                "TYPE=none\nSECRET_TOKEN_VERSION=v1\nSECRET_TLS_KEY_VERSION=v1\n"
            )
    return tmp_path


def test_servers(root: Path) -> None:
    here = {"ABRA_DIR": str(root)}
    assert complete("secrets", "--server", "", **here) == ["one.example", "two.example"]
    assert complete("app", "new", "x", "-s", "t", **here) == ["two.example"]
    assert complete("break-lock", "on", **here) == ["one.example"]


def test_apps_and_of_two_with_one_name_the_server_too(root: Path) -> None:
    here = {"ABRA_DIR": str(root)}
    every = ["one.example/wiki", "pad", "shop", "two.example/wiki"]
    assert complete("app", "deploy", "", **here) == every
    assert complete("secret", "rotate", "p", **here) == ["pad"]
    assert complete("secret", "prune", "two.example/", **here) == [
        "two.example/pad", "two.example/wiki",
    ]  # fmt: skip


def test_secrets_of_the_app_and_none_twice(root: Path) -> None:
    here = {"ABRA_DIR": str(root)}
    assert complete("secret", "rotate", "shop", "", **here) == ["tls_key", "token"]
    assert complete("secret", "generate", "shop", "token", "", **here) == ["tls_key"]
    assert complete("secret", "insert", "two.example/wiki", "to", **here) == ["token"]
    assert complete("secret", "rotate", "wiki", "", **here) == [""], "there are two"


def test_secrets_of_a_recipe(use: Use, demo_fleet: DemoFleet) -> None:
    use(demo_fleet)
    found = complete("secret", "rotate", "matrix.mutual.example", "ma")
    assert found == ["macaroon"]


def test_commands_and_options() -> None:
    assert {"doctor", "secret", "lab"} <= set(complete(""))
    assert complete("secret", "ro") == ["rotate"]
    assert "--dry-run" in complete("secret", "rotate", "--")


@pytest.mark.parametrize("folder", ["nowhere", "broken"])
def test_where_nothing_can_be_read_it_is_silent(folder: str, tmp_path: Path) -> None:
    (tmp_path / "broken" / "servers" / "one.example").mkdir(parents=True)
    (tmp_path / "broken" / "servers" / "one.example" / "a.env").write_bytes(b"\xff\x00TYPE=\xfe")
    (tmp_path / "nowhere").mkdir()
    here = {"ABRA_DIR": str(tmp_path / folder)}
    assert complete("secret", "rotate", "a", "", **here) == [""]
    complete("app", "deploy", "", **here)


EVIL = (
    "$(touch pwned)", "`touch pwned`", "a;touch pwned", "*", "-rf", "a b", "it's", "a\x1b[31m",
    "a\u202eb", '"', "a\nb", "{a,b}", "~", "!x", "a&b", "a>b", "\\",
)  # fmt: skip


def test_a_name_that_a_shell_would_obey_is_not_offered(root: Path) -> None:
    for name in EVIL:
        (root / "servers" / name).mkdir()
        (root / "servers" / name / f"{name}.env").write_text("TYPE=none\n")
        (root / "servers" / "one.example" / f"{name}.env").write_text("TYPE=none\n")
    here = {"ABRA_DIR": str(root)}
    assert complete("secrets", "--server", "", **here) == ["one.example", "two.example"]
    assert complete("app", "deploy", "", **here) == [
        "one.example/wiki", "pad", "shop", "two.example/wiki",
    ]  # fmt: skip
    assert not list(root.rglob("pwned"))


def test_what_it_reads_is_no_network_and_little_time(root: Path) -> None:
    code = (
        "import sys, opskit.cli.complete as c; c.servers(''), c.apps(''), c._secrets('shop'); "
        "print(*sys.modules)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "ABRA_DIR": str(root)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert not {"pandas", "docker", "opskit.swarm", "ipywidgets"} & set(ended.stdout.split())
