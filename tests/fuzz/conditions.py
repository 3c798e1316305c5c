"""Conditions that are nearly well formed: deeper in than damaged text comes."""

from __future__ import annotations

from hypothesis import strategies as st

_COLUMNS = (
    "name",
    "state",
    "age",
    "count",
    "sure",
    "perhaps",
    "when",
    "users",
    "`from`",
    "nowhere",
)
_CONSTANTS = (
    "'stale'", "''", "'db'", "0", "-1", "90.5", "1e308", "9" * 400, "1j", "True", "None",
    "'2026-01-02'", "'9999-12-31T23:59:59-23:59'", "'0001-01-01T00:00+23:59'", "'\\ud800'",
    "b'x'", "f'{age}'", "...", "()", "[]", "['a', 1]", "('stale',)", "'(((((('", "'[^a]*?$'",
    "'(?i)a|(?P<n>b)'", "'\\\\x{10FFFF}'",
)  # fmt: skip
_BETWEEN = (
    "and", "or", "==", "!=", "<", "<=", ">", ">=", "in", "not in", "is", "is not", "+", "-", "*",
    "/", "**", "//", "%", "@", "&", "|", ":=", "if age else", ",", "==1<",
)  # fmt: skip
_CALLS = (
    "isna()", "notna()", "isin({})", "between({}, {})", "str.len()", "str.lower()", "str.upper()",
    "str.strip()", "str.startswith({})", "str.endswith({})", "str.contains({})", "str.match({})",
    "str.fullmatch({}, case=False)", "str.contains({}, regex={})", "str.contains({}, na=None)",
    "to_csv({})", "__class__", "str", "isin(*{})", "between(**{})", "str.lower",
)  # fmt: skip
_AROUND = ("not {}", "-{}", "({})", "~{}", "+{}", "[{}]", "{}[0]", "lambda: {}", "[x for x in {}]")


def _larger(part: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds(lambda a, op, b: f"{a} {op} {b}", part, st.sampled_from(_BETWEEN), part),
        st.builds(lambda a, call, b, c: f"{a}.{call.format(b, c)}", part, st.sampled_from(_CALLS),
                  part, part),
        st.builds(lambda around, a: around.format(a), st.sampled_from(_AROUND), part),
    )  # fmt: skip


_untyped: st.SearchStrategy[str] = st.recursive(
    st.one_of(st.sampled_from(_COLUMNS), st.sampled_from(_CONSTANTS), st.text(max_size=4)),
    _larger,
    max_leaves=12,
)

_numbers = st.recursive(
    st.sampled_from(("age", "count", "0", "7.5", "1e308", "users.str.len()", "name.str.len()")),
    lambda part: st.builds("({} {} {})".format, part, st.sampled_from("+-*/"), part),
    max_leaves=6,
)
_texts = st.one_of(
    st.sampled_from(("name", "state", "name.str.lower()", "state.str.upper().str.strip()")),
    st.text(max_size=6).map(repr),
)
_patterns = st.one_of(
    st.text("ab.*+?()[]|^$\\\\dwsbzAQE{},:=!<>iP-ä", max_size=12), st.text(max_size=6)
).map(repr)
_ORDER = ("==", "!=", "<", ">=")
_SEARCHES = ("startswith", "endswith", "contains", "match", "fullmatch")
_OPTIONS = ("", ", case=False", ", regex=False", ", na=False")
_truths = st.recursive(
    st.one_of(
        st.sampled_from(("sure", "perhaps", "name is None", "when.notna()", "when < '2026-01-03'")),
        st.builds("{} {} {}".format, _numbers, st.sampled_from(_ORDER), _numbers),
        st.builds("{} {} {}".format, _texts, st.sampled_from(_ORDER), _texts),
        st.builds("name.str.{}({}{})".format, st.sampled_from(_SEARCHES), _patterns,
                  st.sampled_from(_OPTIONS)),
        st.builds("when > {!r}".format, st.one_of(st.text("0123456789-:T+Z.W ", max_size=25),
                                                 st.datetimes().map(str))),
        st.builds("state in {}".format, st.lists(st.text(max_size=5), max_size=4)),
    ),
    lambda part: st.builds("({} {} {})".format, part, st.sampled_from(("and", "or", "!=")), part),
    max_leaves=6,
)  # fmt: skip

conditions = st.one_of(_untyped, _truths)
"""Of any parts whatever, and of parts that go together."""
