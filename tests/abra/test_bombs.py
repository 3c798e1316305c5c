"""Small files that would become large ones, and what is no app's file at all."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from opskit.abra.compose import parse_compose
from opskit.abra.env import EnvFile, parse_env
from opskit.abra.interpolate import TOO_LONG, interpolate
from opskit.abra.layout import read_tree

ENV = "TYPE=one\nDOMAIN=a.example\n"


def env(text: str) -> EnvFile:
    return parse_env(text.encode(), Path("a.env"))


@pytest.fixture(autouse=True)
def little_memory() -> Callable[[], None]:
    """Fail a test of this file that takes more than some hundred megabytes more."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000


def test_lines_that_double_each_other_end_where_no_program_could_be_given_them() -> None:
    doubling = "".join(f"A{n + 1}=$A{n}$A{n}\n" for n in range(45))
    found = env(f"{ENV}A0=0123456789\n{doubling}")
    first = found.problems[0]
    assert first.line == 17, "10 bytes doubled 14 times are more than 131,071"
    assert "longer than 131,071 bytes" in first.what
    assert found.unread is first, "nothing is written to it"
    assert found.values["A13"] == "0123456789" * 2**13
    assert "A14" not in found.values


@pytest.mark.parametrize(
    "line",
    [
        "A=" + "x" * 131_072,
        "A='" + "x" * 131_072 + "'",
        "B=" + "x" * 100_000 + "\nA=" + "$B" * 400_000,
        "B=" + "x" * 100_000 + "\nA=${C:-$B$B}",
    ],
)
def test_a_value_that_is_too_long_is_named_with_its_line(line: str) -> None:
    found = env(line)
    assert [one.line for one in found.problems if one.kind == "unread"] == [line.count("\n") + 1]
    assert "A" not in found.values


def test_all_values_together_have_a_limit_that_is_told_once() -> None:
    found = env("A=" + "x" * 100_000 + "\n" + "".join(f"B{n}=$A\n" for n in range(1000)))
    assert [(one.line, one.kind) for one in found.problems] == [(21, "unread")]


def test_the_longest_value_that_a_program_takes_is_read() -> None:
    assert len(env("A=" + "x" * 131_071).values["A"]) == 131_071


def test_a_name_that_grows_beyond_any_field_is_a_fault() -> None:
    found = interpolate("$A" * 300_000, {"A": "x" * 100_000})
    assert found.faults == (TOO_LONG,)


@pytest.mark.parametrize(
    "text",
    [
        "a0: &a0 {x: y}\n"
        + "".join(f"a{n + 1}: &a{n + 1} {{<<: [*a{n}, *a{n}]}}\n" for n in range(40))
        + "services: {s: *a40}\nsecrets: *a40\n",
        "x: &x [*x, *x]\nservices: {s: {secrets: *x, labels: *x, environment: *x, ports: *x}}\n",
        "services: &s {s: *s}\nsecrets: *s\n",
        "[" * 100_000,
    ],
)
def test_yaml_that_holds_itself_or_doubles_is_read_in_part_or_refused(text: str) -> None:
    found = parse_compose(text.encode())
    assert found.faults or found.unsupported


def test_what_is_no_file_of_an_app_costs_itself_alone(tmp_path: Path) -> None:
    folder = tmp_path / "servers" / "one.example"
    folder.mkdir(parents=True)
    (folder / "good.example.env").write_text(ENV)
    (folder / "folder.example.env").mkdir()
    os.mkfifo(folder / "fifo.example.env")
    (folder / "zero.example.env").symlink_to("/dev/zero")
    (folder / "loop.example.env").symlink_to("loop.example.env")
    (folder / "large.example.env").write_bytes(b"A=1\n" * 300_000)
    tree = read_tree(tmp_path)
    (server,) = tree.servers
    said = {app.name: [problem.what for problem in app.problems] for app in server.apps}
    assert {"this is no regular file."} == {*said["fifo.example"], *said["zero.example"]}
    assert said["large.example"] == ["the file is larger than 1 MiB."]
    assert "cannot be read" in said["loop.example"][0]
    assert [Path(one.path).name for one in tree.problems] == ["folder.example.env"]
    assert "folder" in tree.problems[0].what


@pytest.mark.parametrize("name", ["/etc/passwd", "../two/compose.yml", "x/../../two/compose.yml"])
def test_a_compose_file_outside_the_recipe_is_a_finding_and_not_read(
    tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "servers" / "one.example"
    folder.mkdir(parents=True)
    for recipe in ("one", "two"):
        (tmp_path / "recipes" / recipe / "x").mkdir(parents=True)
        (tmp_path / "recipes" / recipe / "compose.yml").write_text("services: {s: {image: x}}\n")
    (folder / "a.example.env").write_text(f"{ENV}COMPOSE_FILE={name}\n")
    ((app,),) = [server.apps for server in read_tree(tmp_path).servers]
    assert [(one.kind, "outside the recipe" in one.what) for one in app.problems] == [
        ("unread", True)
    ]
