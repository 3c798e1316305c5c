"""What `-p name=value` may be."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from opskit.errors import InputError
from opskit.jupyter.notebook import read_notebook
from opskit.jupyter.parameters import declared_parameters, parse_arguments
from tests.jupyter.notebook import cell, write

PARAMETERS = """\
demo = True  # False: your own servers
app = "notes.coop.example"
keep: int = 1
stable = 5.0
servers = ["coop.example"]
waits = [0.5]
made_up = object()
nothing = None
"""


@pytest.fixture
def notebook(tmp_path: Path) -> Path:
    return write(
        tmp_path / "some.ipynb", cell("code", "other = 1"), cell("code", PARAMETERS, "parameters")
    )


def given(notebook: Path, *arguments: str) -> dict[str, Any]:
    return parse_arguments(arguments, declared_parameters(read_notebook(notebook)), notebook)


def test_declared_are_the_plain_assignments_of_the_tagged_cell(notebook: Path) -> None:
    known = declared_parameters(read_notebook(notebook))
    assert {name: parameter.kind for name, parameter in known.items()} == {
        "demo": "bool", "app": "str", "keep": "int", "stable": "float", "servers": "list",
        "waits": "list",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("demo=False", False),
        ("demo=yes", True),
        ("app=wiki.coop.example", "wiki.coop.example"),
        ("app=a=b", "a=b"),
        ("app=", ""),
        ("keep=-2", -2),
        ("stable=3", 3.0),
        ("servers=a.example, b.example", ["a.example", "b.example"]),
        ('servers=["a.example"]', ["a.example"]),
        ("servers=", []),
        ("waits=1,2.5", [1.0, 2.5]),
        ("waits=[1]", [1.0]),
    ],
)
def test_a_value_takes_the_kind_of_the_default(
    notebook: Path, argument: str, value: object
) -> None:
    (found,) = given(notebook, argument).values()
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "argument", ["demo=maybe", "keep=1.5", "keep=x", "stable=nan", 'servers=[1, "a"]', "waits=[]x"]
)
def test_another_kind_is_refused_with_what_it_takes_and_what_there_is(
    notebook: Path, argument: str
) -> None:
    name, _, value = argument.partition("=")
    with pytest.raises(InputError, match=f"the parameter {name} takes ") as caught:
        given(notebook, argument)

    assert "app (str, 'notes.coop.example'), keep (int, 1)" in str(caught.value)
    assert value not in str(caught.value).partition("Declared")[0]


def test_an_unknown_name_is_refused_with_those_declared_parameters(notebook: Path) -> None:
    with pytest.raises(InputError, match="declares no parameter ap") as caught:
        given(notebook, "ap=x")

    assert "demo (bool, True)" in str(caught.value)


def test_a_notebook_that_declares_none_says_how_to(tmp_path: Path) -> None:
    plain = write(tmp_path / "plain.ipynb", cell("code", "app = 1"))
    with pytest.raises(InputError, match="tag the cell that assigns them `parameters`"):
        given(plain, "app=2")


@pytest.mark.parametrize("argument", ["app", "=x", "a b=x"])
def test_what_is_no_assignment_is_refused(notebook: Path, argument: str) -> None:
    with pytest.raises(InputError, match="name=value"):
        given(notebook, argument)


@pytest.mark.parametrize(
    "argument",
    [
        "db_password=x",
        "API_TOKEN=x",
        "ssh_key=x",
        "passphrase=x",
        "app=-----BEGIN OPENSSH PRIVATE KEY-----",
        "app=ghp_0123456789abcdefghij",
        "app=eyJhbGciOiJIUzI1.eyJzdWIiOiIxMjM0.x",
        "app=7c4a8d09ca3762af61e59520943dc26494f8941b",
        "app=Zr8Kq2vXw9Lm4Tn7Bc3Yd6Hf",
        "app=SWMTKN-1-abc",
        "app=$2y$10$abcdefghijklmnopqrstuv",
        "app=https://kim:hunter2@git.example/x",
        "servers=a.example,Zr8Kq2vXw9Lm4Tn7Bc3Yd6Hf",
    ],
)
def test_a_secret_is_refused_without_repeating_it_and_with_where_it_belongs(
    notebook: Path, argument: str
) -> None:
    with pytest.raises(InputError, match="looks like a secret") as caught:
        given(notebook, argument)

    assert "opskit secret insert" in str(caught.value)
    assert argument.partition("=")[2] not in str(caught.value).replace("parameter ", "").split()


@pytest.mark.parametrize(
    "argument",
    [
        "app=recipe == 'hedgedoc' and secret == 'session' and state == 'current'",
        "app=runs/2026-11-25/a-rather-long-name-of-a-Folder-1",
        "app=20261125-024500-8zb67y",
        "app=rhdl7pgq6dnevxn0mmgo7yq6b",
        "app=kim@coop.example",
        "app=a-very-long-name-for-a-cooperative.with-many-words.example",
    ],
)
def test_queries_paths_names_and_ids_are_no_secrets(notebook: Path, argument: str) -> None:
    assert given(notebook, argument) == {"app": argument.partition("=")[2]}


@pytest.mark.parametrize("value", ["[" * 100_000, '["\ud800"]', "[1e999]", "{}"])
def test_a_list_that_is_none_is_refused(notebook: Path, value: str) -> None:
    with pytest.raises(InputError, match="values of the kind of its default"):
        given(notebook, f"waits={value}")


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 100_000,
        b'{"nbformat": 4, "cells": [{"cell_type": "code", "source": "\xff"}]}',
        b'{"nbformat": 4, "cells": [{"cell_type": "code", "source": [1]}]}',
        b'{"nbformat": 4, "cells": [{"cell_type": "code", "source": "", "metadata": []}]}',
        b'{"nbformat": 4, "cells": [{"cell_type": "code", "source": "", "outputs": [7]}]}',
        b'{"nbformat": 4, "cells": [], "metadata": null}',
        b'{"nbformat": 4, "cells": {}}',
        b'{"nbformat": 3, "cells": []}',
    ],
)
def test_what_only_looks_like_a_notebook_is_none(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "odd.ipynb"
    path.write_bytes(text)
    with pytest.raises(InputError, match=r"odd.ipynb: is not a notebook"):
        read_notebook(path)


def test_a_fifo_is_no_notebook_to_wait_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.ipynb")
    with pytest.raises(InputError, match="no regular file"):
        read_notebook(tmp_path / "pipe.ipynb")


@pytest.mark.parametrize("source", ["x = " + "(" * 500, "x = " + "-" * 100_000 + "1", "x = '\0'"])
def test_parameters_that_python_cannot_read_are_none(tmp_path: Path, source: str) -> None:
    odd = write(tmp_path / "odd.ipynb", cell("code", source, "parameters"))
    assert declared_parameters(read_notebook(odd)) == {}
