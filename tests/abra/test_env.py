"""Reading `.env` files as operators and abra write them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opskit.abra.env import parse_env, read_env, sample_lines
from opskit.abra.statements import NO_VALUE, TRAILING, UNCLOSED

PATH = Path("app.env")


def values(text: str | bytes) -> dict[str, str]:
    data = text.encode() if isinstance(text, str) else text
    return dict(parse_env(data, PATH).values)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A=1\n", "1"),
        ("A = 1\n", "1"),
        ("export A=1\n", "1"),
        ("A='1'\n", "1"),
        ('A="1"\n', "1"),
        ("A=1 # a comment\n", "1"),
        ("A=1#not a comment\n", "1#not a comment"),
        ("A='1 # data'\n", "1 # data"),
        ("A=two words\n", "two words"),
        ("A=\n", ""),
        ("A=''\n", ""),
        ("A=1\r\n", "1"),
        ("A=1", "1"),
        ("\ufeffA=1\n", "1"),
        ("A=old\nA=1\n", "1"),
        ("A=Host(`x.example`)\n", "Host(`x.example`)"),
        ("# A=no\nA=1\n#A=no\n#   A=no\n", "1"),
        ("B=b\nA=$B-${B}\n", "b-b"),
        ("B=b\nA='$B'\n", "$B"),
        ("A=${NOTHING:-1}\n", "1"),
        ("A=$NOTHING\n", ""),
        ("B=b\nA=${B}x$Bx\n", "bxbx"),
        ("b=b\nA=$b${b}\n", "$b${b}"),
        ("B=b\nA=\\$B\n", "$B"),
        ("A=pa$$word\n", "pa$$word"),
        ('A="one\\ntwo \\"three\\""\n', 'one\ntwo "three"'),
        ("A='one\\ntwo'\n", "one\\ntwo"),
        ('A="one\ntwo"\n', "one\ntwo"),
        ("A: 1\n", "1"),
        ("A= # a comment\n", ""),
        ("B=b\nA=${B-c}\n", "b"),
        ("B=\nA=${B-c}\n", ""),
    ],
)
def test_a_value_is_read_as_abra_reads_it(text: str, expected: str) -> None:
    assert values(text)["A"] == expected


def test_later_lines_accumulate_over_earlier_ones() -> None:
    text = 'COMPOSE_FILE="compose.yml"\nCOMPOSE_FILE="$COMPOSE_FILE:compose.mail.yml"\n'
    assert values(text)["COMPOSE_FILE"] == "compose.yml:compose.mail.yml"


def test_the_environment_of_the_process_is_never_consulted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OUTSIDE", "leaked")
    assert values("A=$OUTSIDE\n")["A"] == ""


def test_the_line_number_is_that_of_the_assignment_that_wins() -> None:
    env = parse_env(b"# head\n\nA=1\nB=2\n\n\nA=3\n", PATH)
    assert env.lines == {"A": 7, "B": 4}


@pytest.mark.parametrize(
    "line",
    [
        "S=v1 # length=32 charset=hex",
        "S=v1       #length=32 charset=hex",
        "S='v1' # length=32 charset=hex",
        'S="v1"   # charset=hex length=32 ',
        "export S=v1\t# length=32 charset=hex",
    ],
)
def test_modifiers_are_read_from_the_comment_behind_the_value(line: str) -> None:
    assert parse_env(f"{line}\n".encode(), PATH).modifiers["S"] == {
        "length": "32",
        "charset": "hex",
    }


def test_a_hash_inside_quotes_is_no_modifier() -> None:
    assert parse_env(b"S='v1 # length=32'\n", PATH).modifiers["S"] == {}


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b'A=1\nB="never closed\nC=3\n', 2),
        (b"A=1\nA lone word\n", 2),
        (b"A=1\nB=caf\xe9\n", 2),
        (b"A=1\nB=\0\n", 2),
        (b"A=1\nJUSTAWORD\n", 2),
    ],
)
def test_a_line_that_cannot_be_read_is_reported_where_it_stands(data: bytes, line: int) -> None:
    env = parse_env(data, PATH)

    assert env.values["A"] == "1"
    assert [problem.line for problem in env.problems] == [line]
    assert env.problems[0].path == "app.env"
    assert env.problems[0].remedy


def test_a_file_that_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    env = read_env(tmp_path / "nowhere.env")

    assert not env.values
    assert "cannot be read" in env.problems[0].what


@pytest.mark.parametrize("kind", ["folder", "pipe", "loop", "giant"])
def test_what_is_no_small_file_is_a_problem_and_never_waits(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.env"
    match kind:
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "loop":
            path.symlink_to(path)
        case _:
            with path.open("wb") as stream:
                stream.truncate(100_000_000)
    (problem,) = read_env(path).problems

    assert problem.path == str(path)
    assert problem.line == 0
    assert not read_env(path).readable


@pytest.mark.parametrize(
    ("written", "value", "form"),
    [
        ("${C:-hunter2}", "hunter2", "${…:-default}"),
        ("${C-hunter2}", "hunter2", "${…:-default}"),
        ("${A:-hunter2}", "1", "${…:-default}"),
        ("${C:-${A}}", "1", "${…:-default}"),
        ("${C:-${D:-hunter2}}_wiki", "hunter2_wiki", "${…:-default}"),
        ("${C:?hunter2}", "", "${…:?why}"),
        ("${C?hunter2}", "", "${…:?why}"),
        ("${A:?hunter2}", "1", "${…:?why}"),
        ("${A:+hunter2}", "hunter2", "${…:+other}"),
        ("${C:+hunter2}", "", "${…:+other}"),
        ("${EMPTY+hunter2}", "hunter2", "${…:+other}"),
        ("${EMPTY:+hunter2}", "", "${…:+other}"),
        ("${A:+<${C:-x}>}", "<x>", "${…:+other}"),
    ],
)
def test_a_default_of_any_form_is_read_as_compose_would_and_reported_as_abra_does_not_know_it(
    written: str, value: str, form: str
) -> None:
    env = parse_env(f"A=1\nEMPTY=\nB={written}\n".encode(), PATH)
    (problem,) = env.problems

    assert env.values["B"] == value
    assert (problem.line, problem.kind) == (3, "amiss")
    assert problem.what.startswith(f"abra does not know {form} in an .env")
    assert "hunter2" not in problem.what


@pytest.mark.parametrize(
    ("written", "value"), [("${A:25}", "1:25}"), ("${A", "1"), ("${A!x}", "1!x}")]
)
def test_what_nobody_knows_is_read_as_abra_reads_it_and_reported(written: str, value: str) -> None:
    env = parse_env(f"A=1\nB={written}\n".encode(), PATH)

    assert env.values["B"] == value
    assert [problem.line for problem in env.problems] == [2]


def test_plain_references_are_no_problem() -> None:
    assert not parse_env(b"A=1\nB=$A${A}$NONE-x\\$A ${a} $(x) $\nC='${A:-x}'\n", PATH).problems


@given(st.binary(max_size=120))
def test_no_problem_quotes_the_file(data: bytes) -> None:
    known = (UNCLOSED, TRAILING, NO_VALUE, "the value holds ", "abra does not ", "the file is ",
             "a merge conflict was left here, line")  # fmt: skip

    assert all(problem.what.startswith(known) for problem in parse_env(data, PATH).problems)


@pytest.mark.parametrize("mark", ["#", "# ", "#   ", "  #\t"])
def test_a_sample_gives_the_modifiers_of_commented_out_lines(mark: str) -> None:
    sample = f"{mark}A=v1 # length=9\nB=v1 # length=8\n{mark}B=v1 # length=7\n".encode()

    found = sample_lines(sample)
    assert {key: (one.line, one.modifiers) for key, one in found.items()} == {
        "A": (1, {"length": "9"}),
        "B": (2, {"length": "8"}),
    }
    assert found["A"].text() == "A=v1  # length=9"


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("KEY='a b' # why", "KEY='a b'  # why"),
        ("# KEY=", "KEY=v1"),
        ("#KEY= # length=40", "KEY=v1  # length=40"),
        ("export KEY=x", "KEY=x"),
    ],
)
def test_a_line_of_a_sample_is_told_as_it_would_stand_in_an_env(line: str, text: str) -> None:
    (found,) = sample_lines(line.encode()).values()
    assert found.text("v1") == text


def test_unknown_modifiers_are_kept() -> None:
    env = parse_env(b"S=v1 # length=9 rotate=monthly see wiki?p=1\n", PATH)

    assert env.modifiers["S"] == {"length": "9", "rotate": "monthly"}


def test_the_repr_shows_no_value() -> None:
    assert "hunter2" not in repr(parse_env(b"PASSWORD=hunter2\n", PATH))
    assert "JBSWY3DPEHPK3PXP" not in repr(parse_env(b"JBSWY3DPEHPK3PXP=\n", PATH))


@given(st.binary(max_size=200))
def test_no_bytes_at_all_make_it_fail(data: bytes) -> None:
    env = parse_env(data, PATH)
    assert set(env.lines) == set(env.values)


_KEYS = st.from_regex(r"[A-Z][A-Z0-9_]{0,8}", fullmatch=True)
_VALUES = st.from_regex(r"[A-Za-z0-9._/:-]{0,12}", fullmatch=True)


@given(st.lists(st.tuples(_KEYS, _VALUES), max_size=12), st.sampled_from(["\n", "\r\n"]))
def test_what_was_written_is_read_back_at_its_line(
    pairs: list[tuple[str, str]], newline: str
) -> None:
    text = "".join(f"{key}={value}{newline}" for key, value in pairs)
    env = parse_env(text.encode(), PATH)

    assert env.values == dict(pairs)
    assert env.lines == {key: number for number, (key, _) in enumerate(pairs, 1)}
    assert not env.problems
