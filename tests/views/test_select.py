"""Conditions: honest ones keep what they say, and no text does anything else than ask."""

from __future__ import annotations

import json
import operator
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import opskit
from opskit.audit.registry import checks_view
from opskit.cli.app import run
from opskit.cli.read import VIEWS
from opskit.demo.dockerd import DockerdFleet
from opskit.demo.fleet import DemoFleet
from opskit.errors import InputError
from opskit.views.columns import Column, Row
from opskit.views.frame import View
from opskit.views.select import DEEPEST, LONGEST
from opskit.views.table import About

Use = Callable[[DemoFleet | DockerdFleet], Path]
ROOT = Path(__file__).parents[2]
State = Literal["current", "missing", "stale"]


class Sample(Row, frozen=True, kw_only=True):
    """A row with a column of each kind."""

    name: Annotated[str | None, Column("A text.")]
    state: Annotated[State | None, Column("One of a few words.")]
    age: Annotated[float | None, Column("A number.")]
    count: Annotated[int | None, Column("A whole number.")]
    sure: Annotated[bool, Column("A truth.")]
    perhaps: Annotated[bool | None, Column("A truth, or not known.")]
    when: Annotated[datetime | None, Column("A time.")]
    users: Annotated[list[str] | None, Column("Several.")]


def day(number: int) -> datetime:
    return datetime(2026, 1, number, 12, tzinfo=UTC)


ROWS = [
    Sample(name=None, state=None, age=None, count=None, sure=False, perhaps=None, when=None,
           users=None),
    Sample(name="db_root", state="current", age=0.5, count=0, sure=True, perhaps=True,
           when=day(1), users=[]),
    Sample(name="Redis pass", state="missing", age=90.0, count=3, sure=False, perhaps=False,
           when=day(2), users=["app"]),
    Sample(name="täst", state="stale", age=-1.25, count=-3, sure=True, perhaps=None, when=day(3),
           users=["app", "db"]),
    Sample(name="", state="stale", age=None, count=7, sure=True, perhaps=True, when=None, users=[]),
    Sample(name="db", state=None, age=1e12, count=None, sure=False, perhaps=False, when=day(4),
           users=["a", "b", "c"]),
]  # fmt: skip
VIEW = View.from_rows(Sample, ROWS, About(noun="rows"))


def kept(condition: str) -> list[int]:
    """Return the numbers of the rows that a condition keeps."""
    return VIEW.select(condition).index.tolist()


# -- what a condition says --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("condition", "rows"),
    [
        ("sure", [1, 3, 4]),
        ("not sure", [0, 2, 5]),
        ("  sure\n", [1, 3, 4]),
        ("state == 'stale'", [3, 4]),
        ("'stale' == state", [3, 4]),
        ("state in ['missing', 'stale']", [2, 3, 4]),
        ("state in ('missing',)", [2]),
        ("state.isin(['missing'])", [2]),
        ("age in [0.5, 90]", [1, 2]),
        ("count > -4 and age < 91", [1, 2, 3]),
        ("0 < age <= 90", [1, 2]),
        ("age.between(0.5, 90)", [1, 2]),
        ("age > 50 or count == 7", [2, 4, 5]),
        ("sure == True", [1, 3, 4]),
        ("sure != perhaps", []),
        ("age * 2 - count >= 1", [1, 2]),
        ("count / 0 > 0", []),
        ("-count == 3", [3]),
        ("when < '2026-01-02'", [1]),
        ("when >= '2026-01-02T13:00+01:00'", [2, 3, 5]),
        ("when.between('2026-01-02', '2026-01-04')", [2, 3]),
        ("users.str.len() == 0", [1, 4]),
        ("name.str.len() == 4", [3]),
        ("name.str.startswith('db')", [1, 5]),
        ("name.str.startswith('db', na=False)", [1, 5]),
        ("not name.str.startswith('db', na=False)", [0, 2, 3, 4]),
        ("name.str.endswith('root')", [1]),
        ("name.str.contains('db_|Redis')", [1, 2]),
        ("name.str.contains('REDIS', case=False)", [2]),
        ("name.str.contains('d.', regex=False)", []),
        ("name.str.match('b|d')", [1, 5]),
        ("name.str.fullmatch('d.|x')", [5]),
        ("name.str.upper() == 'TÄST'", [3]),
        ("name.str.strip().str.lower().str.contains('redis')", [2]),
        ("state.str.startswith('s')", [3, 4]),
        ("not (sure or age > 50)", []),
    ],
)
def test_a_condition_keeps_the_rows_it_says(condition: str, rows: list[int]) -> None:
    assert kept(condition) == rows


@pytest.mark.parametrize("column", Sample.__struct_fields__)
def test_what_is_not_there_matches_only_where_it_is_asked_for(column: str) -> None:
    none = [n for n, row in enumerate(ROWS) if getattr(row, column) is None]
    some = [n for n in range(len(ROWS)) if n not in none]
    assert kept(f"{column} is None") == kept(f"{column}.isna()") == none
    assert kept(f"{column} is not None") == kept(f"{column}.notna()") == some
    assert kept(f"not {column} is None") == some


@pytest.mark.parametrize(
    "condition",
    ["age == 3", "state == 'stale'", "name in ['db']", "name in []", "perhaps", "count > 1",
     "when < '2026-01-02'", "name.str.contains('d')", "users.str.len() > 1", "age + count > 0"],
)  # fmt: skip
def test_neither_a_comparison_nor_its_opposite_matches_what_is_not_there(condition: str) -> None:
    assert 0 not in kept(condition)
    assert 0 not in kept(f"not ({condition})")
    assert 0 in kept(f"{condition} or name is None")


class Moved(Row, frozen=True, kw_only=True):
    before: Annotated[str | None, Column("As in a plan.", name="from")]
    after: Annotated[str | None, Column("As in a plan.", name="to")]


@pytest.mark.parametrize(
    ("condition", "rows"),
    [
        ("`from` == 'v1'", ["v2"]),
        ("`from`.isna() or `to` in ['v2']", ["v2", "v9"]),
        ("`from` == to", ["v3"]),
        ("to == '`from`'", ["`from`"]),
        ('`from`.str.startswith("it\'s `to`")', ["`from`"]),
    ],
)
def test_a_column_whose_name_is_a_word_of_python_s_stands_in_backticks(
    condition: str, rows: list[str]
) -> None:
    pairs = [("v1", "v2"), ("v3", "v3"), (None, "v9"), ("it's `to`", "`from`")]
    view = View.from_rows(Moved, [Moved(before=a, after=b) for a, b in pairs], About(noun="rows"))
    assert view.select(condition)["to"].tolist() == rows
    with pytest.raises(InputError, match="there is no column if") as refused:
        view.select("`if` == 'x'")
    assert refused.value.remedy.endswith("Columns: `from`, to.")


def test_a_selection_keeps_its_caption() -> None:
    assert VIEW.select("sure").caption == "3 rows"


# -- what the README, the notebooks and docstrings write -----------------------------------------


def written_conditions() -> dict[str, str]:
    """Return each condition that opskit's own texts give to pandas or select, with its place."""
    found: dict[str, str] = {}
    for path in (ROOT / "README.md", *ROOT.glob("opskit/**/*.py"), *ROOT.glob("notebooks/*.ipynb")):
        text = path.read_text()
        if path.suffix == ".ipynb":
            cells = json.loads(text)["cells"]
            text = "\n".join("".join(one["source"]) for one in cells)
        for pattern in (
            r'\.(?:query|select)\("([^"@]+)"', r'--where "([^"$…]+)"', r'^where = "([^"]+)"',
        ):  # fmt: skip
            for condition in re.findall(pattern, text, re.MULTILINE):
                if "{" not in condition:
                    found[condition] = path.name
    return found


@pytest.fixture(scope="module")
def tables(demo_fleet: DemoFleet) -> Iterator[list[View]]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in demo_fleet.env.items():
            patch.setenv(name, value)
        fleet = opskit.Fleet.from_abra()
        snap = fleet.snapshot()
        yield [
            *(getattr(snap, name) for name in VIEWS), snap.audit(), checks_view(),
            fleet.known_to("sol@mutual.example", snap), fleet.compare_pass(snap), fleet.locks(),
        ]  # fmt: skip


@pytest.mark.slow
def test_every_condition_that_opskit_s_own_texts_write_is_one(tables: list[View]) -> None:
    conditions = written_conditions()
    assert len(conditions) > 30
    for condition, place in conditions.items():
        words = re.findall(r"(?<![.\w])[a-z_]+(?!\w|=[^=])", re.sub(r"'[^']*'", "", condition))
        names = sorted(set(words) - {"and", "or", "not", "in", "is"})
        over = [one for one in tables if set(names) <= set(one.columns)]
        assert over, (place, condition)
        for table in over:
            selected = table.select(condition)
            if " is " in condition:
                continue  # pandas has no such words
            queried = table.query(condition, engine="python")
            assert set(selected.index) <= set(queried.index), (place, condition)
            # What pandas keeps besides lacks a value, whose comparison with != it calls true.
            more = queried.drop(selected.index)[names]
            assert more.isna().any(axis=1).all(), (place, condition)


# -- what is no condition ----------------------------------------------------------------------

HOSTILE = [
    "name.to_csv('{path}')",
    " name.to_csv('{path}')",
    "\tname.to_csv('{path}')",
    "name.str.contains('x') and state.to_json('{path}')",
    "name.values.tofile('{path}')",
    "name.str.to_csv('{path}')",
    "name.apply(print)",
    "name.map('{path}'.format)",
    "name.pipe(open, '{path}')",
    "state=='x' or @sys.modules['os'].system('touch {path}')==0",
    "@pd.io.common.os.system('touch {path}')",
    "@VIEW.to_csv('{path}')",
    "__import__('os').system('touch {path}')",
    "(lambda: open('{path}', 'w'))()",
    "[open('{path}', 'w') for _ in [1]]",
    "(path := open('{path}', 'w'))",
    "open('{path}', 'w') is None",
    "f\"{{open('{path}', 'w')}}\" == name",
    "().__class__.__base__.__subclasses__()",
    "name.__class__.__init__.__globals__['os'].system('touch {path}')",
    "name._mgr.blocks",
    "sure; import os; os.system('touch {path}')",
    "sure\nimport os",
    "sure #\n or open('{path}', 'w')",
    "`name`.to_csv('{path}')",
    "index == 0",
    "ilevel_0 == 0",
    "9**9**9**9",
    "age > 9**9**9**9",
    "age > 9 << 9999999999",
    "name * 999999999 == 'a'",
    "'a' * 999999999 == name",
    "age % 0 > 1",
    "age // 1 > 1",
    "age > 1j",
    "name == b'db'",
    "name == ...",
    "name == 'a' if sure else 'b'",
    "name[0] == 'd'",
    "age == [1, 2]",
    "name in 'db'",
    "name in name",
    "name in ['a', None]",
    "name in [name]",
    "name in [['a']]",
    "name == None",
    "name is 'db'",
    "*name == 1",
    "await name",
    "yield name",
    "name.str.contains(name)",
    "name.str.contains('(')",
    "name.str.contains(*['a'])",
    "name.str.contains('a', flags=2)",
    "name.str.contains('a', **{{}})",
    "name.str.contains('a', na='x')",
    "name.str.contains('(?=a)')",
    "name.str.contains(r'(a)\\1')",
    r"name.str.contains('(a?b?.?a?){{100}}(a?b?.?a?){{100}}(a?b?.?a?){{100}}')",
    r"name.str.contains('(\\pL?\\pL?\\pN?)*!')",
    r"name.str.contains('\\Qa\\E{{100}}')",
    f"name.str.contains('{'(a|b)*' * 20}')",
    "name.str.len(1)",
    "age.str.len() > 1",
    "age.str.contains('a')",
    "age == 'x'",
    "age and sure",
    "not age",
    "state < 'stale'",
    "sure < perhaps",
    "users == 'app'",
    "when < 'yesterday'",
    "when < name",
    "when < '9999-12-31T23:59-14:00'",
    "nowhere > 1",
    "nonsense ==",
    "1 + 1",
    "1 == 1",
    "True",
    "'a' == 'a' and 1 in [1]",
    "name",
    "[]",
    "(sure) & (perhaps)",
    "sure | perhaps",
    "~sure",
    "x\x00y",
    "\ud800",
    "name == '\\ud800'",
    "age > " + "9" * 400,
    "not " * (DEEPEST + 1) + "sure",
    "-" * 900 + "age > 0",
    "(" * 400 + "sure" + ")" * 400,
    "age" + "+age" * (DEEPEST + 1) + " > 0",
    "name" + ".str.lower()" * (DEEPEST + 1) + " == 'a'",
    "sure and " * LONGEST + "sure",
    "sure" + " " * 5 + "or sure" * 200,
    "{{" * 300,
    "",
    "   ",
]


@pytest.mark.parametrize("condition", HOSTILE, ids=lambda text: ascii(text)[:60])
def test_what_is_no_condition_is_refused_in_one_line_and_does_nothing(
    condition: str, tmp_path: Path
) -> None:
    path = tmp_path / "written"
    with events() as seen, pytest.raises(InputError) as refused:
        VIEW.select(condition.replace("{path}", str(path)).replace("{{", "{").replace("}}", "}"))
    said = str(refused.value)
    assert len(said.splitlines()) == 1
    assert len(said) < 700
    if condition.strip():
        assert "Columns: name, state, age, count, sure, perhaps, when, users." in said
    assert not path.exists()
    assert not seen


@contextmanager
def events() -> Iterator[list[str]]:
    """Watch what Python itself reports of files, processes, sockets, imports and code that runs."""
    seen: list[str] = []
    _watching.append(seen)
    try:
        yield seen
    finally:
        _watching.remove(seen)


_watching: list[list[str]] = []
_HARMFUL = ("open", "exec", "import", "os.", "subprocess.", "socket.", "shutil.", "ctypes.")


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if _watching and event.startswith(_HARMFUL):
        for seen in _watching:
            seen.append(f"{event} {arguments!r}"[:200])


sys.addaudithook(_watch)
VIEW.select("when < '2026-01-02' or name.str.contains('a')")  # imports what it needs

WORDS = [*Sample.__struct_fields__, "and", "or", "not", "in", "is", "None", "True", "(", ")", "[",
         "]", ",", "==", "!=", "<", ">=", "+", "-", "*", "/", "**", "'db'", "'2026-01-02'", "1",
         "0.5", ".str", ".contains", ".len()", ".isin", ".isna()", "(", "'a|b'", "@", "`", "lambda",
         ":", "=", "__class__", ".", "'", "\\", "\n", " ", "if", "else", "for", "#", "{", "}",
         "case=False", "9" * 30, "~", "&", "\u202e", "\ud800", "\x00"]  # fmt: skip


@pytest.mark.slow
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.one_of(st.text(max_size=60), st.lists(st.sampled_from(WORDS), max_size=25).map(" ".join)))
def test_any_text_is_a_condition_or_refused_and_touches_nothing(text: str) -> None:
    with events() as seen, suppress(InputError):
        assert len(VIEW.select(text)) <= len(ROWS)
    assert not seen


# -- honest conditions agree with reading row by row -----------------------------------------------


@dataclass(frozen=True)
class Told:
    """A condition, and what it says of one row: true, false or not known."""

    text: str
    of: Callable[[Sample], Any]


def known(function: Callable[..., Any], *parts: Callable[[Sample], Any]) -> Callable[[Sample], Any]:
    """Return a function of what all parts say, which is not known where one is not."""

    def of(row: Sample) -> Any:
        said = [part(row) for part in parts]
        return None if None in said else function(*said)

    return of


ORDERS = {"==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le,
          ">": operator.gt, ">=": operator.ge}  # fmt: skip
SUMS = {"+": operator.add, "-": operator.sub, "*": operator.mul}
TEXTS = ["db", "db_root", "Redis pass", "täst", "", "d", "stale", "missing"]


def field(name: str) -> Told:
    return Told(name, operator.attrgetter(name))


def constant(value: object) -> Told:
    return Told(repr(value), lambda _: value)


numbers = st.recursive(
    st.sampled_from(["age", "count"]).map(field)
    | st.sampled_from([0, 1, 3, -3, 7, 0.5, 90.0, -1.25]).map(constant),
    lambda below: st.builds(
        lambda one, sign, other: Told(
            f"({one.text} {sign} {other.text})", known(SUMS[sign], one.of, other.of)
        ),
        below, st.sampled_from(list(SUMS)), below,
    ),
    max_leaves=3,
)  # fmt: skip
texts = st.sampled_from(["name", "state"]).map(field)
times = st.sampled_from([day(1), day(2), day(4)])


def compared(one: Told, sign: str, other: Told) -> Told:
    return Told(f"{one.text} {sign} {other.text}", known(ORDERS[sign], one.of, other.of))


def called(one: Told, method: str, wanted: str) -> Told:
    ways: dict[str, Callable[[str], bool]] = {
        "startswith": lambda text: text.startswith(wanted),
        "endswith": lambda text: text.endswith(wanted),
        "contains": lambda text: wanted in text,
        "fullmatch": lambda text: text == wanted,
    }
    return Told(f"{one.text}.str.{method}({wanted!r})", known(ways[method], one.of))


atoms = st.one_of(
    st.sampled_from(["sure", "perhaps"]).map(field),
    st.builds(compared, numbers, st.sampled_from(list(ORDERS)), numbers),
    st.builds(compared, texts, st.sampled_from(["==", "!="]), st.sampled_from(TEXTS).map(constant)),
    st.builds(
        lambda sign, moment: Told(
            f"when {sign} '{moment:%Y-%m-%dT%H:%M}'",
            known(lambda when: ORDERS[sign](when, moment), lambda row: row.when),
        ),
        st.sampled_from(list(ORDERS)), times,
    ),
    st.builds(called, texts, st.sampled_from(["startswith", "endswith", "contains", "fullmatch"]),
              st.sampled_from(TEXTS)),
    st.builds(
        lambda one, some, word: Told(
            f"{one.text} {word} {some!r}",
            known(lambda said: (said in some) == (word == "in"), one.of),
        ),
        texts, st.lists(st.sampled_from(TEXTS), max_size=3), st.sampled_from(["in", "not in"]),
    ),
    st.builds(
        lambda name, word: Told(
            f"{name} {word} None", lambda row: (getattr(row, name) is None) == (word == "is")
        ),
        st.sampled_from(Sample.__struct_fields__), st.sampled_from(["is", "is not"]),
    ),
    st.builds(
        lambda sign, wanted: Told(
            f"users.str.len() {sign} {wanted}",
            known(lambda users: ORDERS[sign](len(users), wanted), lambda row: row.users),
        ),
        st.sampled_from(list(ORDERS)), st.integers(0, 3),
    ),
)  # fmt: skip


def joined(one: Told, word: str, other: Told) -> Told:
    decides = word == "or"

    def of(row: Sample) -> bool | None:
        said = [one.of(row), other.of(row)]
        return decides if decides in said else None if None in said else not decides

    return Told(f"({one.text}) {word} ({other.text})", of)


def opposite(one: Told) -> Told:
    return Told(f"not ({one.text})", known(operator.not_, one.of))


conditions = st.recursive(
    atoms,
    lambda below: st.one_of(
        st.builds(joined, below, st.sampled_from(["and", "or"]), below), below.map(opposite)
    ),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(conditions)
def test_an_honest_condition_agrees_with_reading_row_by_row(told: Told) -> None:
    if not re.search("|".join(Sample.__struct_fields__), re.sub("'[^']*'", "", told.text)):
        with pytest.raises(InputError, match="names no column"):
            kept(told.text)
        return
    assert kept(told.text) == [n for n, row in enumerate(ROWS) if told.of(row) is True]


# -- the command line -------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("text", ["", "  ", " server.to_csv('f')", "9**9**9**9", "state == @x"])
def test_every_command_that_takes_a_condition_refuses_what_is_none(
    text: str, use: Use, demo_fleet: DemoFleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    use(demo_fleet)
    monkeypatch.chdir(tmp_path)
    saved = str(tmp_path / "saved.opskit")
    opskit.Fleet.from_abra().snapshot().save(saved)
    for command in (
        ["secrets", "--snapshot", saved], ["drift", "--snapshot", saved],
        ["audit", "--snapshot", saved], ["journal"], ["locks"], ["app", "ls"],
        ["rotate", "--yes"], ["secret", "remove", "--orphans", "--yes"],
    ):  # fmt: skip
        assert run([*command, "--where", text]) == 2, command
        err = capsys.readouterr().err
        assert err.startswith("opskit: ")
        assert "condition" in err
        assert len(err.splitlines()) == 1
    assert [one.name for one in tmp_path.iterdir()] == ["saved.opskit"]
