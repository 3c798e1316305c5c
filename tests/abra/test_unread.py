"""Files that are not what they seem: a merge left half done, an encrypted one."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from opskit.abra.compose import parse_compose
from opskit.abra.env import EnvFile, parse_env
from opskit.abra.files import conflicts
from opskit.abra.layout import read_tree

PATH = Path("a.example.org.env")
MERGED = b"""TYPE=one
DOMAIN=a.example.org
<<<<<<< HEAD
SECRET_API_TOKEN_VERSION=v1  # length=32
=======
SECRET_API_TOKEN_VERSION=v2  # length=32
>>>>>>> 1a2b3c4 (a.example.org: rotate api_token v2)
"""
COMPOSE = """
services: {app: {image: x, secrets: [api_token]}}
secrets:
  api_token: {external: true, name: "${STACK_NAME}_api_token_${SECRET_API_TOKEN_VERSION:-v1}"}
"""


def said(env: EnvFile) -> list[tuple[int, str, str]]:
    return [(one.line, one.kind, one.what) for one in env.problems]


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
def test_a_merge_conflict_is_one_problem_with_its_lines(newline: bytes) -> None:
    env = parse_env(MERGED.replace(b"\n", newline), PATH)

    assert said(env) == [(3, "conflict", "a merge conflict was left here, lines 3 to 7.")]
    assert dict(env.values) == {"TYPE": "one", "DOMAIN": "a.example.org"}
    assert not env.readable
    assert env.unread == env.problems[0]


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("<<<<<<< a\n=======\n>>>>>>> b\nX=1\n<<<<<<< a\n=======\n>>>>>>> b\n", [(1, 3), (5, 7)]),
        ("<<<<<<< a\nA=1\n||||||| base\nA=0\n=======\nA=2\n>>>>>>> b\n", [(1, 7)]),
        ("A=1\n<<<<<<< HEAD\nA=2\n", [(2, 2)]),
        ("A=1\n=======\nA=2\n>>>>>>> b\n", [(4, 4)]),
        ("# =======\n=======\nA=<<<<<<< x\n  <<<<<<< a\n<<<<<<<< a\n>>>>>>>>\n", []),
        ("", []),
    ],
)
def test_only_marks_of_a_merge_at_the_beginning_of_a_line_count(
    text: str, spans: list[tuple[int, int]]
) -> None:
    assert conflicts(text) == spans


def test_what_git_itself_leaves_is_found(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        subprocess.run(
            ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b", *arguments],
            capture_output=True,
            check=arguments[0] != "merge",
        )

    def commit(version: str) -> None:
        (tmp_path / PATH).write_text(f"TYPE=one\nSECRET_A_VERSION={version}\nLAST=1\n")
        git("add", ".")
        git("commit", "-m", version)

    git("init", "-b", "main")
    commit("v1")
    git("checkout", "-b", "other")
    commit("v2")
    git("checkout", "main")
    commit("v3")
    git("merge", "other")
    env = parse_env((tmp_path / PATH).read_bytes(), PATH)

    assert [one.what for one in env.problems] == ["a merge conflict was left here, lines 2 to 6."]
    assert dict(env.values) == {"TYPE": "one", "LAST": "1"}


@pytest.mark.parametrize(
    ("content", "program", "remedy"),
    [
        (b"\0GITCRYPT\0\x8d\x01\xff\n=\n", "git-crypt", "git-crypt unlock"),
        (b"$ANSIBLE_VAULT;1.1;AES256\n" + b"6162\n" * 12, "ansible-vault", "ansible-vault decrypt"),
        (
            b"TYPE=ENC[AES256_GCM,data:xx,iv:yy,tag:zz,type:str]\nsops_version=3.9.0\n",
            "sops",
            "sops decrypt --in-place a.example.org.env",
        ),
        (
            b"TYPE=one\nPASSWORD=ENC[AES256_GCM,data:x,iv:y,tag:z,type:str]\n",
            "sops",
            "sops decrypt",
        ),
        (
            b"-----BEGIN PGP MESSAGE-----\n\nabc\n-----END PGP MESSAGE-----\n",
            "GnuPG",
            "gpg --out",
        ),
        (b"age-encryption.org/v1\n-> X25519 abc\n", "age", "age --output"),
    ],
)
def test_an_encrypted_file_is_one_problem_that_names_the_key(
    content: bytes, program: str, remedy: str
) -> None:
    env = parse_env(content, PATH)
    (problem,) = env.problems

    assert (problem.kind, problem.line) == ("locked", 0)
    assert problem.what == f"the file is locked by {program}, and nothing of it is known."
    assert remedy in problem.remedy
    assert not env.values
    assert not env.readable


@pytest.mark.parametrize("kind", ["conflict", "locked"])
def test_such_a_file_declares_no_version_not_even_the_compose_file_s_default(
    tmp_path: Path, kind: str
) -> None:
    folder, recipe = tmp_path / "servers" / "one.example", tmp_path / "recipes" / "one"
    folder.mkdir(parents=True)
    recipe.mkdir(parents=True)
    (recipe / "compose.yml").write_text(COMPOSE)
    (folder / PATH).write_bytes(MERGED if kind == "conflict" else b"\0GITCRYPT\0\x01")
    (app,) = read_tree(tmp_path).servers[0].apps

    assert app.secrets == ()
    assert app.guessed
    assert app.note == "the .env cannot be read; its secrets are not known"
    assert [one.kind for one in app.problems] == [kind]
    assert app.unread == app.problems[0]


@pytest.mark.parametrize(
    ("content", "kind", "line"),
    [
        (b"services:\n<<<<<<< HEAD\n  a: {}\n=======\n  b: {}\n>>>>>>> x\n", "conflict", 2),
        (b"$ANSIBLE_VAULT;1.1;AES256\n616263\n", "locked", 0),
        (b"services: [\n", "unread", 2),
    ],
)
def test_a_compose_file_too_is_one_fault(content: bytes, kind: str, line: int) -> None:
    compose = parse_compose(content)

    assert [(fault.kind, fault.line) for fault in compose.faults] == [(kind, line)]
    assert not compose.valid


@pytest.mark.parametrize("line", ['A="never closed', "A lone word", 'A="x" y', "B=\0"])
def test_a_line_that_was_passed_over_makes_the_file_one_that_is_not_read_whole(line: str) -> None:
    env = parse_env(f"TYPE=one\n{line}\n".encode(), PATH)

    assert env.readable
    assert env.unread is not None
    assert env.unread.line == 2


@pytest.mark.parametrize("line", ["A=${B:-x}", "A=1 # length=9", "# <<<<<<< not at the beginning"])
def test_what_was_read_though_something_is_amiss_is_read_whole(line: str) -> None:
    assert parse_env(f"{line}\n".encode(), PATH).unread is None
