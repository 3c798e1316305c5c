"""Compose interpolation, compared with the docker CLI's own where that is installed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opskit.abra.interpolate import InterpolationError, interpolate, pieces

VARIABLES = {"SET": "value", "EMPTY": "", "STACK_NAME": "app"}

CASES = {
    "plain": "plain",
    "$SET": "value",
    "${SET}": "value",
    "a${SET}b": "avalueb",
    "${UNSET}": "",
    "${UNSET:-d}": "d",
    "${EMPTY:-d}": "d",
    "${EMPTY-d}": "",
    "${UNSET-d}": "d",
    "${SET:-d}": "value",
    "${SET:+other}": "other",
    "${EMPTY:+other}": "",
    "${EMPTY+other}": "other",
    "${UNSET+other}": "",
    "$$SET": "$SET",
    "$${SET}": "${SET}",
    "${UNSET:-${SET}}": "value",
    "${UNSET:-a${EMPTY:-b}c}": "abc",
    "${STACK_NAME}_db_${SET:-v1}": "app_db_value",
    "${SET:?needed}": "value",
}


@pytest.mark.parametrize(("template", "expected"), CASES.items())
def test_a_template_reads_as_in_compose(template: str, expected: str) -> None:
    assert interpolate(template, VARIABLES) == expected


@pytest.mark.parametrize("template", ["${UNSET:?say why}", "${EMPTY:?}", "${UNSET?}"])
def test_a_required_variable_that_is_not_set_is_an_error_naming_it(template: str) -> None:
    with pytest.raises(InterpolationError, match=r"UNSET|EMPTY"):
        interpolate(template, VARIABLES)


@pytest.mark.parametrize("template", ["${SET", "$", "a $ b", "${}", "${1X}", "${SET~x}"])
def test_a_broken_template_is_an_error(template: str) -> None:
    with pytest.raises(InterpolationError):
        interpolate(template, VARIABLES)


def test_pieces_tell_which_variable_the_version_came_from() -> None:
    found = pieces("${STACK_NAME}_db_${SECRET_DB_VERSION:-v1}", VARIABLES)

    assert [(p.text, p.variable) for p in found] == [
        ("app", "STACK_NAME"),
        ("_db_", ""),
        ("v1", "SECRET_DB_VERSION"),
    ]


@given(st.text(alphabet="aB_${}:-?+1 ", max_size=30))
def test_any_text_either_interpolates_or_says_why_not(text: str) -> None:
    try:
        assert isinstance(interpolate(text, VARIABLES), str)
    except InterpolationError as error:
        assert str(error)


def _docker(*arguments: str) -> str:
    if shutil.which("docker") is None:
        return ""
    return subprocess.run(["docker", *arguments], capture_output=True, text=True).stdout


@pytest.mark.slow
def test_the_docker_cli_agrees(tmp_path: Path) -> None:
    if "stack config" not in _docker("stack", "config", "--help"):
        pytest.skip("no docker CLI with `stack config` (Docker 25 or newer) is installed")
    # `docker stack` knows neither :+ nor defaults inside defaults; `docker compose` does.
    common = [t for t in CASES if "+" not in t and t.count("${") < 2]
    labels = {f"l{number}": template for number, template in enumerate(common)}
    compose = {"version": "3.8", "services": {"a": {"image": "x", "labels": labels}}}
    (tmp_path / "compose.json").write_text(json.dumps(compose))
    done = subprocess.run(
        ["docker", "stack", "config", "-c", str(tmp_path / "compose.json")],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), **VARIABLES},
        capture_output=True,
        text=True,
        check=True,
    )
    from ruamel.yaml import YAML

    found = YAML(typ="safe", pure=True).load(done.stdout)["services"]["a"]["labels"]
    # `stack config` doubles dollar signs, so that its output can be read again.
    assert {k: v.replace("$$", "$") for k, v in found.items()} == {
        name: interpolate(template, VARIABLES) for name, template in labels.items()
    }
