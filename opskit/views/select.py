"""Conditions: text that says which rows of a view to keep, and can do nothing else.

A condition comes from a command line, a crontab, a notebook's parameters or a colleague. It is
parsed, and each part that the list below allows is turned into one operation on columns; nothing
is looked up but columns, and nothing called but the methods named here. (``DataFrame.query`` runs
code, and is for those who write it.)

=====================  ===================================================================
a column               ``declared``; a truth is a condition by itself; `` `from` `` where its
                       name is a word of Python's, too
compared               ``age_days > 90``, ``1 < running <= desired``, ``state != 'current'``
a date                 ``created_at < '2026-01-31'``, in UTC unless it says otherwise
one of several         ``state in ['missing', 'stale']``, ``secret not in (…)``, ``.isin([…])``
a range                ``length.between(16, 32)``, both ends included
joined                 ``and``, ``or``, ``not``, parentheses
no value               ``app is None``, ``app is not None``, ``.isna()``, ``.notna()``
text                   ``.str.startswith('db')``, ``.str.endswith``, ``.str.contains('db_|redis')``,
                       ``.str.match``, ``.str.fullmatch``, ``.str.lower()``, ``.str.upper()``,
                       ``.str.strip()``
how many               ``used_by.str.len() == 0``, of a text its characters
reckoned               ``desired - running >= 2`` with ``+ - * /``
=====================  ===================================================================

What compares a value that is not there is neither true nor false, and so is its opposite: such a
row is kept only where the condition asks for it (``state != 'current' or state is None``).

Patterns are those of RE2, whose time grows only with the length of a text; ``case=False`` ignores
case, ``regex=False`` looks for the text itself. Those that would grow large are refused, too.
"""

# pandas and pyarrow ship partial types or none.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import reduce
from keyword import iskeyword
from typing import Any, Literal, cast

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from opskit.arguments import check_text
from opskit.decoding import parse_python
from opskit.errors import InputError

LONGEST, DEEPEST, LONGEST_PATTERN = 1000, 50, 100
_SHOWN = 80

Kind = Literal["truth", "number", "text", "choice", "time", "several", "constants", "nothing"]
_IN_WORDS: dict[Kind, str] = {
    "truth": "yes or no",
    "number": "a number",
    "text": "text",
    "choice": "one of a few words",
    "time": "a time",
    "several": "a list",
    "constants": "a list",
    "nothing": "no value",
}
_ORDERED = frozenset({"number", "text", "time"})

_COMPARISONS: Mapping[type[ast.cmpop], str] = {
    ast.Eq: "equal",
    ast.NotEq: "not_equal",
    ast.Lt: "less",
    ast.LtE: "less_equal",
    ast.Gt: "greater",
    ast.GtE: "greater_equal",
}
_SUMS: Mapping[type[ast.operator], str] = {
    ast.Add: "add",
    ast.Sub: "subtract",
    ast.Mult: "multiply",
    ast.Div: "divide",
}
_CHANGES = {
    "str.lower": "utf8_lower",
    "str.upper": "utf8_upper",
    "str.strip": "utf8_trim_whitespace",
}
_SEARCHES = {
    "str.startswith": ("starts_with", ""),
    "str.endswith": ("ends_with", ""),
    "str.contains": ("match_substring_regex", "{}"),
    "str.match": ("match_substring_regex", r"\A(?:{})"),
    "str.fullmatch": ("match_substring_regex", r"\A(?:{})\z"),
}
_METHODS = ("isna", "notna", "isin", "between", "str.len", *_CHANGES, *_SEARCHES)

_QUOTED = re.compile(
    r"""(?:'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")|`(?P<name>[A-Za-z_]\w*)`""", re.DOTALL
)
"""A text, or a column in backticks."""

_ESCAPED = re.compile(r"\\[^pPQ]")
_GROWING = re.compile(r"\{|\\")
"""What makes a program of a short pattern that takes minutes: counts, and classes of Unicode."""


def matching(frame: pd.DataFrame, condition: str) -> Any:
    """Return whether each row matches a condition, as an array of truths.

    Raises
    ------
    InputError
        It is no condition over these columns; says why, and names the columns.
    """
    check_text("condition", condition, "Such as: state == 'missing'")
    return _Condition(frame, condition.strip()).matching()


@dataclass(frozen=True, slots=True)
class _Value:
    """What a part of a condition comes to: an array with an element per row, or a scalar."""

    kind: Kind
    data: Any
    source: str

    @property
    def is_constant(self) -> bool:
        return isinstance(self.data, pa.Scalar)


class _Condition:
    """A condition over the columns of one table."""

    def __init__(self, frame: pd.DataFrame, text: str) -> None:
        self._frame, self._text = frame, text
        self._places = {name: n for n, name in enumerate(frame.columns) if isinstance(name, str)}
        self._quoted: dict[str, str] = {}

    def matching(self) -> Any:
        if len(self._text) > LONGEST:
            raise self._refused(f"it is longer than {LONGEST:,} characters")
        found = self._value(self._parse(), 0)
        if found.kind != "truth":
            raise self._refused(
                f"it comes to {_IN_WORDS[found.kind]}, and says not which rows to keep"
            )
        if found.is_constant:
            raise self._refused("it names no column")
        return _compute("fill_null", found.data, False).to_pandas().to_numpy(dtype=bool)

    def _parse(self) -> ast.expr:
        try:
            parsed = parse_python(_QUOTED.sub(self._plain, self._text), "eval")
        except SyntaxError:
            raise self._refused("it cannot be read as one") from None
        return cast("ast.Expression", parsed).body

    def _plain(self, found: re.Match[str]) -> str:
        """Return a name that Python takes for a column in backticks, of equal length."""
        name = found["name"]
        if name is None:
            return found[0]
        plain = f"_{name}_"
        self._quoted[plain] = name
        return plain

    def _refused(self, why: str) -> InputError:
        return InputError(
            f"the condition {_cut(self._text)!r} cannot be used: {why}.",
            remedy=f"Compare columns, as in: recipe == 'wordpress' and age_days > 180. "
            f"Columns: {', '.join(f'`{one}`' if iskeyword(one) else one for one in self._places)}.",
        )

    def _source(self, node: ast.expr) -> str:
        """Return how a part is written, on one line and not all of a long one."""
        words = (ast.get_source_segment(self._text, node) or "").split()
        return _cut(" ".join(words)) or "a part of it"

    def _value(self, node: ast.expr, depth: int) -> _Value:
        if depth > DEEPEST:
            raise self._refused("its parts are nested too deep")
        source = self._source(node)

        def below(part: ast.expr) -> _Value:
            return self._value(part, depth + 1)

        def truth(part: ast.expr) -> Any:
            return self._expect(below(part), "truth").data

        def number(part: ast.expr) -> Any:
            return self._expect(below(part), "number").data

        match node:
            case ast.BoolOp(op=op, values=parts):
                join = "and_kleene" if isinstance(op, ast.And) else "or_kleene"
                return _Value("truth", _joined(join, [truth(part) for part in parts]), source)
            case ast.UnaryOp(op=ast.Not(), operand=part):
                return _Value("truth", _compute("invert", truth(part)), source)
            case ast.UnaryOp(op=ast.USub(), operand=part):
                return _Value("number", _compute("negate", number(part)), source)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _SUMS:
                reckoned = _compute(_SUMS[type(op)], number(left), number(right))
                return _Value("number", _finite(reckoned), source)
            case ast.Compare(left=left, ops=ops, comparators=others):
                parts = [below(part) for part in (left, *others)]
                pairs = zip(parts, ops, parts[1:], strict=False)
                return _Value(
                    "truth", _joined("and_kleene", [self._pair(*p) for p in pairs]), source
                )
            case ast.Call(func=func, args=arguments, keywords=keywords):
                return self._call(func, [below(one) for one in arguments], keywords, source, depth)
            case ast.List(elts=elements) | ast.Tuple(elts=elements):
                return _Value("constants", [self._constant(one) for one in elements], source)
            case ast.Name(id=name):
                return self._column(self._quoted.get(name, name))
            case ast.BinOp(op=ast.BitAnd() | ast.BitOr()) | ast.UnaryOp(op=ast.Invert()):
                raise self._refused("conditions are joined with and, or, not")
            case ast.Constant():
                return self._constant(node)
            case _:
                raise self._refused(f"it holds {source!r}, which no condition has")

    def _expect(self, value: _Value, kind: Kind) -> _Value:
        if value.kind != kind:
            raise self._refused(
                f"{value.source} is {_IN_WORDS[value.kind]}, where {_IN_WORDS[kind]} is needed"
            )
        return value

    def _column(self, name: str) -> _Value:
        if name not in self._places:
            raise self._refused(f"there is no column {name}")
        column: Any = self._frame.iloc[:, self._places[name]]
        dtype = column.dtype
        if isinstance(dtype, pd.CategoricalDtype):
            return _Value("choice", _array(column.astype("string"), pa.large_string()), name)
        if isinstance(dtype, pd.StringDtype):
            return _Value("text", _array(column, pa.large_string()), name)
        if pd.api.types.is_bool_dtype(dtype):
            return _Value("truth", _array(column, pa.bool_()), name)
        if pd.api.types.is_numeric_dtype(dtype):
            return _Value("number", _array(column, pa.float64()), name)
        if pd.api.types.is_datetime64_any_dtype(dtype):
            return _Value("time", _array(column, pa.timestamp("us", "UTC")), name)
        counts = [len(one) if hasattr(one, "__len__") else None for one in column]
        return _Value("several", pa.array(counts, pa.float64()), name)

    def _constant(self, node: ast.expr) -> _Value:
        source, constant = self._source(node), self._sign(node)
        match constant:
            case None:
                return _Value("nothing", None, source)
            case bool():
                return _Value("truth", pa.scalar(constant), source)
            case int() | float():
                try:
                    return _Value("number", pa.scalar(float(constant)), source)
                except OverflowError:
                    raise self._refused("a number in it is too large") from None
            case str():
                try:
                    constant.encode()
                except UnicodeEncodeError:
                    raise self._refused("a text in it holds half a character") from None
                return _Value("text", pa.scalar(constant, pa.large_string()), source)
            case _:
                raise self._refused(f"it holds {source!r}, which no condition has")

    def _sign(self, node: ast.expr) -> object:
        match node:
            case ast.Constant(value=constant):
                return constant
            case ast.UnaryOp(
                op=ast.USub(), operand=ast.Constant(value=int() | float() as constant)
            ):
                return -constant
            case _:
                raise self._refused(
                    f"{self._source(node)} stands in a list, which is of constants only"
                )

    def _pair(self, left: _Value, op: ast.cmpop, right: _Value) -> Any:
        match op:
            case ast.Is() | ast.IsNot():
                if right.kind != "nothing":
                    raise self._refused(f"is asks for None, and not for {right.source}")
                return self._is_there(left, isinstance(op, ast.IsNot))
            case ast.In():
                return self._one_of(left, right)
            case ast.NotIn():
                return _compute("invert", self._one_of(left, right))
            case _:
                compared = self._alike(left, right)
                ordered = not isinstance(op, ast.Eq | ast.NotEq)
                for one in (left, right):
                    if ordered and one.kind not in _ORDERED:
                        raise self._refused(
                            f"{one.source} is {_IN_WORDS[one.kind]}, of which none is less"
                        )
                return _compute(_COMPARISONS[type(op)], *compared)

    def _alike(self, left: _Value, right: _Value) -> tuple[Any, Any]:
        """Return what can be compared: both of one kind, a text as a time where that is meant."""
        match left.kind, right.kind:
            case ("truth" | "number" | "text" | "choice" | "time") as kind, other if kind == other:
                return left.data, right.data
            case ("text", "choice") | ("choice", "text"):
                return left.data, right.data
            case "time", "text" if right.is_constant:
                return left.data, self._moment(right)
            case "text", "time" if left.is_constant:
                return self._moment(left), right.data
            case ("nothing", _) | (_, "nothing"):
                raise self._refused("for no value ask: is None, or is not None")
            case _:
                raise self._refused(
                    f"{left.source} is {_IN_WORDS[left.kind]}, "
                    f"and {right.source} {_IN_WORDS[right.kind]}"
                )

    def _moment(self, value: _Value) -> Any:
        try:
            moment = datetime.fromisoformat(value.data.as_py())
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            return pa.scalar(moment.astimezone(UTC), pa.timestamp("us", "UTC"))
        except (ValueError, OverflowError):
            raise self._refused(
                f"{value.source} is no date, such as '2026-01-31' or '2026-01-31T12:00'"
            ) from None

    def _is_there(self, value: _Value, there: bool) -> Any:
        if value.kind in ("nothing", "constants"):
            raise self._refused(f"{value.source} is no column")
        return _compute("is_valid" if there else "is_null", value.data)

    def _one_of(self, value: _Value, choices: _Value) -> Any:
        if choices.kind != "constants":
            raise self._refused(f"{choices.source} is no list, such as ['a', 'b']")
        each = [_compute("equal", *self._alike(value, one)) for one in choices.data]
        # No value is in no list, not even in an empty one: nobody knows.
        none = _compute("if_else", self._is_there(value, True), False, None)
        return _joined("or_kleene", [none, *each])

    def _call(
        self,
        func: ast.expr,
        arguments: list[_Value],
        keywords: Sequence[ast.keyword],
        source: str,
        depth: int,
    ) -> _Value:
        match func:
            case ast.Attribute(value=ast.Attribute(value=of, attr="str"), attr=attr):
                name = f"str.{attr}"
            case ast.Attribute(value=of, attr=attr):
                name = attr
            case _:
                name, of = "", func
        if name not in _METHODS:
            raise self._refused(
                f"it calls {self._source(func)}, and only {', '.join(_METHODS)} may be called"
            )
        value = self._value(of, depth + 1)
        named = self._named(name, keywords)
        match name, arguments:
            case "isna" | "notna", []:
                return _Value("truth", self._is_there(value, name == "notna"), source)
            case "isin", [choices]:
                return _Value("truth", self._one_of(value, choices), source)
            case "between", [low, high]:
                ends = [self._pair(value, ast.GtE(), low), self._pair(value, ast.LtE(), high)]
                return _Value("truth", _joined("and_kleene", ends), source)
            case "str.len", []:
                counted = value.data
                if value.kind != "several":
                    counted = _compute("utf8_length", self._text_of(value))
                return _Value("number", _compute("cast", counted, pa.float64()), source)
            case _, [] if name in _CHANGES:
                return _Value("text", _compute(_CHANGES[name], self._text_of(value)), source)
            case _, [pattern] if name in _SEARCHES:
                found = self._search(name, value, pattern, named)
                return _Value("truth", found, source)
            case _:
                raise self._refused(f"{source} is not how {name} is called")

    def _named(self, name: str, keywords: Sequence[ast.keyword]) -> dict[str, bool]:
        named: dict[str, bool] = {}
        taken = ("case", "na", "regex") if name in _SEARCHES else ()
        for one in keywords:
            value = self._constant(one.value)
            if one.arg is None or one.arg not in taken or value.kind != "truth":
                raise self._refused(f"{name} takes no {one.arg or '**'}={value.source}")
            named[one.arg] = value.data.as_py()
        return named

    def _text_of(self, value: _Value) -> Any:
        return value.data if value.kind == "choice" else self._expect(value, "text").data

    def _search(self, name: str, value: _Value, pattern: _Value, named: dict[str, bool]) -> Any:
        if not pattern.is_constant:
            raise self._refused(f"{pattern.source} is looked for, and only a constant can be")
        wanted: str = self._expect(pattern, "text").data.as_py()
        function, form = _SEARCHES[name]
        if form and not named.get("regex", True):
            function = "match_substring"
        elif form:
            if len(wanted) > LONGEST_PATTERN or _GROWING.search(_ESCAPED.sub("", wanted)):
                raise self._refused(
                    f"the pattern {pattern.source} may grow too large: {LONGEST_PATTERN} "
                    r"characters, without {, \p and \Q, are what a pattern may have"
                )
            wanted = form.format(wanted)
        text = self._text_of(value)
        try:
            found = _compute(function, text, wanted, ignore_case=not named.get("case", True))
        except pa.ArrowInvalid:
            raise self._refused(f"{pattern.source} is no pattern that RE2 knows") from None
        return _compute("fill_null", found, named["na"]) if "na" in named else found


def _cut(text: str) -> str:
    return f"{text[:_SHOWN]}…" if len(text) > _SHOWN else text


def _compute(name: str, *arguments: Any, **options: Any) -> Any:
    return getattr(pc, name)(*arguments, **options)


def _joined(name: str, parts: Sequence[Any]) -> Any:
    return reduce(lambda one, other: _compute(name, one, other), parts)


def _finite(numbers: Any) -> Any:
    """Return numbers without those that are none, as of a division by nothing."""
    return _compute("if_else", _compute("is_finite", numbers), numbers, None)


def _array(column: Any, kind: Any) -> Any:
    return pa.array(column, kind, from_pandas=True, safe=False)
