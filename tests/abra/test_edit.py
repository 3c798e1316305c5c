"""Changing one version token and not one byte more; showing a change without values."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opskit.abra.edit import masked_diff, set_value, unset_value
from opskit.abra.env import parse_env
from opskit.errors import InputError

KEY = "SECRET_DB_VERSION"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"SECRET_DB_VERSION=v1\n", b"SECRET_DB_VERSION=v2\n"),
        (b"SECRET_DB_VERSION=v1", b"SECRET_DB_VERSION=v2"),
        (b"SECRET_DB_VERSION=v1\r\nB=2\r\n", b"SECRET_DB_VERSION=v2\r\nB=2\r\n"),
        (b"SECRET_DB_VERSION = 'v1'  # length=3\n", b"SECRET_DB_VERSION = 'v2'  # length=3\n"),
        (b'  export SECRET_DB_VERSION="v1"\n', b'  export SECRET_DB_VERSION="v2"\n'),
        (b"SECRET_DB_VERSION=\n", b"SECRET_DB_VERSION=v2\n"),
        (b"\xef\xbb\xbfSECRET_DB_VERSION=v1\n", b"\xef\xbb\xbfSECRET_DB_VERSION=v2\n"),
        (b"X=caf\xe9\nSECRET_DB_VERSION=v1\n", b"X=caf\xe9\nSECRET_DB_VERSION=v2\n"),
        (
            b"SECRET_DB_VERSION=v0\n#SECRET_DB_VERSION=v1\nSECRET_DB_VERSION=v1\n",
            b"SECRET_DB_VERSION=v0\n#SECRET_DB_VERSION=v1\nSECRET_DB_VERSION=v2\n",
        ),
    ],
)
def test_only_the_token_changes(before: bytes, after: bytes) -> None:
    assert set_value(before, KEY, "v2") == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"A=1\n", b"A=1\nSECRET_DB_VERSION=v2\n"),
        (b"A=1", b"A=1\nSECRET_DB_VERSION=v2"),
        (b"A=1\r\n", b"A=1\r\nSECRET_DB_VERSION=v2\r\n"),
        (
            b"SECRET_X_VERSION=v1\nA=1\n",
            b"SECRET_X_VERSION=v1\nSECRET_DB_VERSION=v2\nA=1\n",
        ),
        (b"", b"SECRET_DB_VERSION=v2\n"),
    ],
)
def test_a_key_without_a_line_gets_one_and_can_lose_it_again(before: bytes, after: bytes) -> None:
    assert set_value(before, KEY, "v2") == after
    assert unset_value(after, KEY, "v2") == before


@pytest.mark.parametrize(
    "data",
    [b"SECRET_DB_VERSION=$OTHER\n", b"A=1\nSECRET_DB_VERSION='v1\nstill v1'\n"],
)
def test_a_line_that_cannot_be_changed_safely_is_refused_with_its_place(data: bytes) -> None:
    with pytest.raises(InputError, match=r"app\.env:\d") as refused:
        set_value(data, KEY, "v2", Path("app.env"))
    assert refused.value.remedy


@pytest.mark.parametrize("version", ["", "v 2", "v2#", "$X", "v2\n", "'v2'"])
def test_what_is_no_version_is_refused(version: str) -> None:
    with pytest.raises(InputError):
        set_value(b"SECRET_DB_VERSION=v1\n", KEY, version)


_TOKENS = st.sampled_from(
    ["SECRET_DB_VERSION", "A", "=", "=", "=", "'", '"', "v1", " ", "#", "\n", "\n", "\r\n", "$A",
     "${A}", "\\", "export ", ":", "\u00e9", "SECRET_X_VERSION=v1", "\t"]
)  # fmt: skip
_MESSES = st.lists(_TOKENS, max_size=25).map("".join).map(str.encode)


@given(st.one_of(_MESSES, st.binary(max_size=80)), st.sampled_from(["v2", "v10", "2024-a"]))
def test_whatever_the_file_the_value_is_set_or_nothing_is(data: bytes, version: str) -> None:
    before = parse_env(data, Path("x"))
    with contextlib.suppress(InputError):
        changed = set_value(data, KEY, version)
        after = parse_env(changed, Path("x"))

        assert after.values[KEY] == version
        assert set(after.values) == {*before.values, KEY}
        if KEY in before.values:
            lines = zip(data.split(b"\n"), changed.split(b"\n"), strict=True)
            assert sum(old != new for old, new in lines) <= 1
        else:
            assert unset_value(changed, KEY, version) == data


_LINES = st.sampled_from(
    ["A=1", "# note", "", "B='x y'", "#SECRET_DB_VERSION=v0", 'C="$A:z"  # k=v', "D=caf\u00e9"]
)
_TARGET = st.sampled_from(
    ["SECRET_DB_VERSION={}", "SECRET_DB_VERSION='{}' # length=2", 'export SECRET_DB_VERSION="{}"']
)
_VERSIONS = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,6}", fullmatch=True)


@given(
    st.lists(_LINES, max_size=6),
    _TARGET,
    st.lists(_LINES, max_size=6),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
    _VERSIONS,
    _VERSIONS,
)
def test_bytes_before_and_after_stay_as_they_were(
    head: list[str],
    target: str,
    tail: list[str],
    newline: str,
    final_newline: bool,
    old: str,
    new: str,
) -> None:
    def render(version: str) -> bytes:
        text = newline.join([*head, target.format(version), *tail])
        return (text + (newline if final_newline else "")).encode()

    changed = set_value(render(old), KEY, new)

    assert changed == render(new)
    assert parse_env(changed, Path("x")).values[KEY] == new
    assert set_value(changed, KEY, old) == render(old)


BEFORE = b"""\
TYPE=shop:1.0.0+1
DOMAIN=shop.example
SMTP_PASSWORD='c4nary-one'
API_KEY=c4nary-kept
ENABLED=false
SECRET_TOKEN_VERSION=v1 # length=32
"""


def test_names_versions_and_switches_are_shown_and_other_values_are_not() -> None:
    after = (
        BEFORE.replace(b"1.0.0", b"2.0.0")
        .replace(b"c4nary-one", b"c4nary-two")
        .replace(b"false", b"true")
        .replace(b"VERSION=v1", b"VERSION=v2")
        + b"#OLD_KEY=c4nary-commented # was it\nPEM='-----\nc4nary-lines\n-----'\n"
    )
    told = masked_diff(BEFORE, after, "shop.example.env")

    assert "c4nary" not in told
    for line in (
        "-TYPE=shop:1.0.0+1",
        "+TYPE=shop:2.0.0+1",
        "-SMTP_PASSWORD='…'",
        "+SMTP_PASSWORD='… (new value)'",
        "-ENABLED=false",
        "+ENABLED=true",
        "+SECRET_TOKEN_VERSION=v2 # length=32",
        "+#OLD_KEY=… # was it",
        "+PEM='… (new value)'",
    ):
        assert line in told.splitlines()
    assert "+API_KEY" not in told


def test_a_line_that_cannot_be_read_is_hidden_whole() -> None:
    told = masked_diff(BEFORE, BEFORE + b"A=1\nX='c4nary never closed\nB=c4nary\n", "x.env")
    assert "c4nary" not in told
    assert "unreadable" in told


CANARY = "c4naryvalue"


@given(st.text(alphabet="ab=#'\"\n\r $KEY_VERSION\\", max_size=60), st.booleans())
def test_a_value_never_shows_wherever_it_stands(noise: str, quoted: bool) -> None:
    value = f"'{CANARY}'" if quoted else CANARY
    text = f"{noise}\nTOKEN={value}\n#TOKEN={CANARY}\n".encode()
    assert CANARY not in masked_diff(b"A=1\n", text, "x.env")
    assert CANARY not in masked_diff(text, b"A=1\n", "x.env")


def test_a_name_that_took_other_lines_along_is_not_shown() -> None:
    text = f'COMPOSE_FILE="compose.yml\nPASSWORD={CANARY}\nX="\n'.encode()
    assert CANARY not in masked_diff(b"A=1\n", text, "x.env")
