"""Compose interpolation, compared with the docker CLI's own where that is installed."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from opskit.abra.interpolate import interpolate, refused_by_docker
from tests.abra.docker import docker_stack_config

VARIABLES = {"SET": "value", "EMPTY": "", "STACK_NAME": "app", "lower": "l"}

COMMON = {
    "plain": "plain",
    "$SET": "value",
    "${SET}": "value",
    "a${SET}b": "avalueb",
    "${UNSET}": "",
    "${EMPTY}": "",
    "${lower}": "l",
    "${UNSET:-d}": "d",
    "${EMPTY:-d}": "d",
    "${EMPTY-d}": "",
    "${UNSET-d}": "d",
    "${UNSET:-}": "",
    "${UNSET:-a-b c}": "a-b c",
    "${SET:-d}": "value",
    "${SET:-d}e}": "valuee}",
    "$$SET": "$SET",
    "$${SET}": "${SET}",
    "$$$SET": "$value",
    "${STACK_NAME}_db_${SET:-v1}": "app_db_value",
    "${SET:?needed}": "value",
    "${SET?needed}": "value",
    "${EMPTY?needed}": "",
    "$SET_${SET}": "value",
    "$SET.$SET": "value.value",
    "é${SET}é": "évalueé",
}
"""Read alike by the Compose specification and by ``docker stack``."""

DOCKER_ONLY = {"$SET-word": "value", "$UNSET:-word": "word", "$STACK_NAME-x": "app"}
"""The docker CLI takes these for defaults; Compose would not, but docker deploys stacks."""

COMPOSE_ONLY = {
    "${SET:+other}": "other",
    "${EMPTY:+other}": "",
    "${EMPTY+other}": "other",
    "${UNSET+other}": "",
    "${UNSET:-${SET}}": "value",
    "${UNSET:-a${EMPTY:-b}c}": "abc",
    "${SET:-${UNSET:?no}}": "value",
    "${UNSET:-$SET$$}": "value$",
}
"""Refused or garbled by ``docker stack``; read as the Compose specification says."""

BROKEN = ["${SET", "$", "a $ b", "${}", "${1X}", "$1", "${SET~x}", "${SET:x}", "${ SET}"]


@pytest.mark.parametrize(("template", "expected"), (COMMON | DOCKER_ONLY | COMPOSE_ONLY).items())
def test_a_template_reads_as_when_it_is_deployed(template: str, expected: str) -> None:
    result = interpolate(template, VARIABLES)

    assert result.text == expected
    assert not result.faults


@pytest.mark.parametrize("template", ["${UNSET:?say why}", "${EMPTY:?}", "${UNSET?}"])
def test_a_required_variable_that_is_not_set_is_a_fault_naming_it(template: str) -> None:
    result = interpolate(f"a_{template}_b", VARIABLES)

    assert result.text == "a__b"
    (fault,) = result.faults
    assert ("EMPTY" if "EMPTY" in template else "UNSET") in fault


@pytest.mark.parametrize("template", BROKEN)
def test_what_is_no_template_stays_as_it_is_and_says_so(template: str) -> None:
    result = interpolate(template, VARIABLES)

    assert result.text == template
    assert "no valid template" in result.faults[0]


@pytest.mark.parametrize(
    ("template", "variables"),
    [
        ("${STACK_NAME}_db_${SECRET_DB_VERSION:-v1}", ["STACK_NAME", "", "SECRET_DB_VERSION"]),
        ("${STACK_NAME}_db_$SET", ["STACK_NAME", "", "SET"]),
        ("x_${UNSET:-${SET}}", ["", "UNSET"]),
        ("x_${SET:+v2}", ["", ""]),
        ("x_$$", ["", ""]),
    ],
)
def test_each_piece_tells_which_variable_would_replace_it(
    template: str, variables: list[str]
) -> None:
    assert [piece.variable for piece in interpolate(template, VARIABLES).pieces] == variables


def test_defaults_without_end_are_no_template() -> None:
    assert interpolate("${A:-" * 500 + "}" * 500, {}).faults


@given(st.text(alphabet="aB_${}:-?+1 ", max_size=40))
def test_any_text_either_interpolates_or_says_why_not(text: str) -> None:
    result = interpolate(text, VARIABLES)

    assert result.text == "".join(piece.text for piece in result.pieces)
    assert all(fault.endswith((".", "{.")) for fault in result.faults)


@given(st.text().filter(lambda text: "$" not in text))
def test_text_without_a_dollar_sign_is_itself(text: str) -> None:
    assert interpolate(text, VARIABLES).text == text
    assert interpolate(text.replace("$", "$$"), VARIABLES).text == text


def stack_config(folder: Path, templates: list[str]) -> subprocess.CompletedProcess[str]:
    """Let the docker CLI interpolate: one label for each template."""
    labels = {f"l{number}": template for number, template in enumerate(templates)}
    compose = {"version": "3.8", "services": {"a": {"image": "x", "labels": labels}}}
    (folder / "compose.json").write_text(json.dumps(compose))
    return docker_stack_config([folder / "compose.json"], VARIABLES)


def test_the_docker_cli_agrees(tmp_path: Path) -> None:
    templates = [*COMMON, *DOCKER_ONLY]
    done = stack_config(tmp_path, templates)

    found = YAML(typ="safe", pure=True).load(done.stdout)["services"]["a"]["labels"]
    # `stack config` doubles dollar signs, so that its output can be read again.
    assert {key: value.replace("$$", "$") for key, value in found.items()} == {
        f"l{number}": interpolate(template, VARIABLES).text
        for number, template in enumerate(templates)
    }


@pytest.mark.slow
@pytest.mark.parametrize("template", [*BROKEN, "${UNSET:?why}", "${EMPTY:?why}", "${UNSET?}"])
def test_the_docker_cli_refuses_what_has_a_fault(tmp_path: Path, template: str) -> None:
    done = stack_config(tmp_path, [template])

    assert done.returncode != 0
    assert "invalid interpolation format" in done.stderr


@pytest.mark.slow
def test_the_docker_cli_agrees_on_made_up_templates(tmp_path: Path) -> None:
    names, operators = ["SET", "UNSET", "EMPTY"], ["", ":-", "-"]
    words = ["", "v1", "a b", "x:y", "x_y", "é"]
    templates = [
        f"{before}${{{name}{operator}{word if operator else ''}}}{after}"
        for name in names
        for operator in operators
        for word in words
        for before in ("", "p_", "$$")
        for after in ("", "_s", "}")
    ]
    found = YAML(typ="safe", pure=True).load(stack_config(tmp_path, templates).stdout)

    labels = found["services"]["a"]["labels"]
    for number, template in enumerate(templates):
        ours = interpolate(template, VARIABLES).text
        assert labels[f"l{number}"].replace("$$", "$") == ours, template


@pytest.mark.slow
def test_what_docker_splits_elsewhere_is_told_and_all_else_is_read_alike(tmp_path: Path) -> None:
    texts = ["", "-b", ":-c", "?d", ":?e", "-${SET}", "-$SET"]
    made = [
        f"{opening}SET{first}{second}{third}{closing}"
        for opening, closing in (("${", "}"), ("$", ""), ("$", "}"))
        for first in texts
        for second in texts
        for third in texts
    ]
    fine = [template for template in dict.fromkeys(made) if not refused_by_docker(template)]
    assert len(fine) > 100
    done = stack_config(tmp_path, fine)
    labels = YAML(typ="safe", pure=True).load(done.stdout)["services"]["a"]["labels"]
    read = {name: labels[f"l{at}"].replace("$$", "$") for at, name in enumerate(fine)}
    assert read == {template: interpolate(template, VARIABLES).text for template in fine}


@pytest.mark.parametrize(
    ("template", "docker_reads"),
    [
        ("${SET:?the domain is needed - set it}", " set it"),
        ("${SET-b:-c}", "c"),
        ("$SET-b:-c", "c"),
        ("$SET-${SET:-v9}", "v9}"),
        ("$SET-${SET}", "value}"),
    ],
)
def test_what_docker_takes_for_another_name_is_no_silent_difference(
    tmp_path: Path, template: str, docker_reads: str
) -> None:
    labels = YAML(typ="safe", pure=True).load(stack_config(tmp_path, [template]).stdout)
    assert labels["services"]["a"]["labels"]["l0"] == docker_reads
    assert "default" in refused_by_docker(template)
