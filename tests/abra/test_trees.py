"""Made-up trees of an ``.env`` and compose files are read as ``docker stack config`` reads them.

What the ``.env`` means is known to whoever makes it up; docker gets it as an environment.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from opskit.abra.layout import read_tree
from opskit.abra.model import DeclaredApp
from tests.abra.docker import docker_stack_config

STACK = "shop_example"
VALUES = {
    "V_ONE": "v1", "V_TWO": "v2", "V_EMPTY": "", "PART": "web", "STACK_NAME": STACK, "VERSION": "3",
}  # fmt: skip
"""What the ``.env`` gives its variables; `UNSET` is one that it does not have."""

Triples = set[tuple[str, str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """An app's ``.env``, and the compose files of its recipe that it enables."""

    env: str
    files: dict[str, str]


def _line(key: str) -> st.SearchStrategy[str]:
    value = VALUES[key]
    forms = [f"{key}='{value}'", f'{key}="{value}"', f"{key}={value}", f"export {key}={value}",
             f"{key}={value}  # length=32"]  # fmt: skip
    if value:
        forms += [f"{key}: {value}"]
    if key != "STACK_NAME":
        forms += [f"OF_{key}={value}\n{key}=$OF_{key}", f"OF_{key}='{value}'\n{key}=${{OF_{key}}}"]
        forms += [f"{key}=before\n#{key}=not\n{key}='{value}'"]
    return st.sampled_from(forms)


_VERSIONS = st.sampled_from(
    ["${V_ONE}", "$V_TWO", "${V_ONE:-v9}", "${UNSET:-v9}", "${UNSET-v8}", "${V_EMPTY:-v7}",
     "${V_TWO-v9}", "v5", "${V_ONE:?must}", "${V_ONE:-${V_TWO}}", "${UNSET}", "${V_EMPTY}"]
)  # fmt: skip
_STACKS = st.sampled_from(["${STACK_NAME}", "$STACK_NAME", "${STACK_NAME:-x}", "other", "$$x", ""])
_MIDDLES = st.sampled_from(["_db_", "_db_pw_", "_${PART}_", "-db-", "_db_${PART:-x}_", "_"])
_NAMES = st.one_of(
    st.tuples(_STACKS, _MIDDLES, _VERSIONS).map("".join),
    st.sampled_from(["${UNSET}", "${V_EMPTY}", "plain", "${UNSET:-given_v1}"]),
)
_KEYS = ("db", "api-key", "x_y")
_TARGETS = st.sampled_from(["", "", "file", "/etc/${PART}", "${UNSET:-t}-$VERSION", "db"])


def _quoted(draw: st.DrawFn, text: str) -> str:
    plain = text and not set(text) & set("{}:?,[]'\"") and text[0] not in "$-"
    return draw(st.sampled_from([f'"{text}"', f"'{text}'", *([text] if plain else [])]))


def _entry(draw: st.DrawFn) -> str:
    """Draw a top-level entry of a secret or config, in flow style."""
    name = _quoted(draw, draw(_NAMES))
    return draw(
        st.sampled_from(
            [
                "{external: true}",
                f"{{external: true, name: {name}}}",
                f"{{name: {name}, external: true}}",
                "{file: ./content}",
                f"{{file: ./content, name: {name}}}",
            ]
        )
    )


def _item(draw: st.DrawFn, key: str, indent: str) -> str:
    target = draw(_TARGETS)
    if not target and draw(st.booleans()):
        return f"{indent}- {_quoted(draw, key)}\n"
    more = [f"target: {_quoted(draw, target)}"] if target else []
    more += draw(st.sampled_from([[], ["mode: 0440"], ["uid: '7'"]]))
    if draw(st.booleans()):
        return f"{indent}- {{{', '.join([f'source: {key}', *more])}}}\n"
    return "".join(
        f"{indent}{'  ' if turn else '- '}{pair}\n"
        for turn, pair in enumerate([f"source: {key}", *more])
    )


def _uses(draw: st.DrawFn, kind: str, keys: tuple[str, ...], indent: str) -> str:
    some = draw(st.lists(st.sampled_from(keys), max_size=3))
    if not some:
        return ""
    return f"{indent}{kind}:\n" + "".join(_item(draw, key, f"{indent}  ") for key in some)


def _file(draw: st.DrawFn, names: list[str], *, first: bool) -> str:
    """Draw one compose file; the first one declares all that others may use."""
    text = "version: '3.8'\n"
    anchored = draw(st.booleans())
    if anchored:
        text += f"x-common: &common\n  image: x\n{_uses(draw, 'secrets', _KEYS, '  ')}"
    text += "services:\n"
    for name in names:
        text += f"  {name}:\n"
        text += "    <<: *common\n" if anchored and draw(st.booleans()) else "    image: y\n"
        text += _uses(draw, "secrets", _KEYS, "    ") + _uses(draw, "configs", _KEYS, "    ")
    for kind in ("secrets", "configs"):
        keys = [key for key in _KEYS if first or draw(st.integers(0, 3)) == 0]
        if keys:
            text += f"{kind}:\n" + "".join(f"  {key}: {_entry(draw)}\n" for key in keys)
    return text


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    """Draw a tree."""
    files = {"compose.yml": _file(draw, ["app", "db"], first=True)}
    for name in ("compose.more.yml", "parts/compose.sso.yml")[: draw(st.integers(0, 2))]:
        files[name] = _file(
            draw, draw(st.sampled_from([["app"], ["db", "new"], ["new"]])), first=False
        )
    lines = [draw(_line(key)) for key in draw(st.permutations(list(VALUES)))]
    enabled = draw(
        st.sampled_from([[f"COMPOSE_FILE={':'.join(files)}"], [
            f'COMPOSE_FILE="{"$COMPOSE_FILE:" if turn else ""}{name}"'
            for turn, name in enumerate(files)
        ]])
    )  # fmt: skip
    end = draw(st.sampled_from(["\n", "\r\n"]))
    text = "\n".join(["TYPE=shop", *lines, *enabled]).replace("\n", end)
    return Tree(env=text + draw(st.sampled_from(["", end])), files=files)


def written(tree: Tree, root: Path) -> list[Path]:
    """Write a tree and return its compose files."""
    app = root / "servers" / "coop.example" / "shop.example.env"
    app.parent.mkdir(parents=True)
    app.write_bytes(tree.env.encode())
    recipe = root / "recipes" / "shop"
    for name, text in tree.files.items():
        (recipe / name).parent.mkdir(parents=True, exist_ok=True)
        (recipe / name).write_text(text)
    (recipe / "content").write_text("x")
    return [recipe / name for name in tree.files]


def read(root: Path) -> DeclaredApp:
    (server,) = read_tree(root).servers
    (app,) = server.apps
    return app


def by_docker(config: dict[str, Any], kind: str) -> Triples:
    """Return the service, file and swarm name of all that services use, as docker has it."""
    names = {
        key: entry.get("name") or (key if entry.get("external") else f"{STACK}_{key}")
        for key, entry in config.get(kind, {}).items()
    }
    return {
        (service, one.get("target") or one["source"], names[one["source"]])
        for service, parts in config["services"].items()
        for one in parts.get(kind, ())
    }


def compare(tree: Tree) -> None:
    with tempfile.TemporaryDirectory(prefix="opskit-tree-") as folder:
        root = Path(folder)
        files = written(tree, root)
        app = read(root)
        done = docker_stack_config(files, VALUES)
        note(f"{tree.env}\n{tree.files}\n{done.stderr}\n{app.problems}")
        if done.returncode != 0:
            assert app.problems or app.unsupported, done.stderr
            return
        told = [*app.problems, *app.unsupported]
        if any("default" in one.what for one in told):
            return  # docker takes it, and reads what nobody means
        config = YAML(typ="safe", pure=True).load(done.stdout)
        ours = {(*mount, one.swarm_name) for one in app.secrets for mount in one.mounts}
        theirs = by_docker(config, "secrets")
        assert ours == theirs, (ours - theirs, theirs - ours, told)
        configs = {one.swarm_name for one in app.configs}
        theirs = {name for *_, name in by_docker(config, "configs")}
        assert configs == theirs, (configs - theirs, theirs - configs, told)
        check_moves(app, files)


def check_moves(app: DeclaredApp, files: list[Path]) -> None:
    """Check that the variables which are said to give versions do so in docker's eyes."""
    versioned = [one for one in app.secrets if one.env_key]
    moved = {one.env_key: "v77" for one in versioned}
    if not moved:
        return
    done = docker_stack_config(files, {**VALUES, **moved})
    assert done.returncode == 0, done.stderr
    config = YAML(typ="safe", pure=True).load(done.stdout)
    # The variable may be part of a file's name, too.
    theirs = {(service, name) for service, _, name in by_docker(config, "secrets")}
    ours = {(name, f"{one.prefix}v77") for one in versioned for name in one.services}
    assert ours <= theirs, (ours - theirs, theirs - ours)


@pytest.mark.slow
@pytest.mark.parametrize("examples", [60, pytest.param(3000, marks=pytest.mark.nightly)])
def test_a_tree_declares_what_docker_reads_in_it(examples: int) -> None:
    check = settings(max_examples=examples, deadline=None, derandomize="CI" in os.environ)
    check(given(trees())(compare))()
