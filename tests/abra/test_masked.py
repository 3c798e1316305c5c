"""A diff of a `.env` tells what changed and no value that may be a secret."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from opskit.abra.masked import masked_diff

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
