"""Making values: policies, their strength in bits, and the generators behind them."""

from __future__ import annotations

import math
import secrets
import string
from collections.abc import Callable
from functools import lru_cache
from typing import Literal, assert_never, cast, get_args

import msgspec

from opskit.arguments import check_choice, check_count, check_text, names_in
from opskit.errors import InputError, MissingToolError, OpskitError
from opskit.secrets.program import run
from opskit.secrets.value import MAX_BYTES, Secret

GeneratorName = Literal["characters", "words", "pwqgen", "pwgen", "command"]

FLOOR_BITS = 128.0
"""Fewer bits need somebody's wish: the recipe's, by its modifiers, or the operator's."""

ALPHANUMERIC = string.ascii_letters + string.digits
_CHARSETS = {
    # Nothing that hurts in shells, URLs or SQL.
    "default": ALPHANUMERIC,
    "hex": "0123456789abcdef",
    "safespecial": ALPHANUMERIC + "-_.",
    "special": ALPHANUMERIC + "!@#$%^&*_-+=",
}
"""abra's names. A recipe that asks for ``special`` gets what may need quoting."""

_CHARACTERS = 32
_WORDS = 10
_WORD_BITS = math.log2(7776)
"""EFF's long list has 7,776 words."""
_PWQGEN_BITS = 128
"""passwdqc makes 24 to 136 bits, 47 when not told."""
_TIMEOUT_S = 20.0


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """How a value is made.

    Parameters
    ----------
    generator
        ``characters`` and ``words`` are drawn here, ``pwqgen`` and ``pwgen`` are those programs,
        ``command`` is any program that prints a value.
    length
        Of characters, or of words; by default as many as reach the floor of 128 bits.
    charset
        abra's names, comma-joined; an unknown one means ``default``, as in abra.
    command
        The program and its arguments, run without a shell. They are shown and stored with the
        plan, so they are no place for a secret.

    Raises
    ------
    InputError
        The parts do not go together.
    """

    generator: GeneratorName = "characters"
    length: int | None = None
    charset: str = ""
    command: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_choice("generator", self.generator, get_args(GeneratorName))
        check_text("charset", self.charset, "Name one, such as hex.", empty=True)
        names_in("command", self.command, empty=True)
        if self.length is not None:
            check_count("length", self.length, least=1)
        if self.length is not None and self.length > MAX_BYTES:
            raise InputError(
                f"a value cannot have the length {self.length}.",
                remedy=f"Use 1 to {MAX_BYTES:,}, or none for {_CHARACTERS}.",
            )
        if self.length is not None and self.generator in ("pwqgen", "command"):
            raise InputError(f"{self.generator} knows no length.", remedy="Leave the length out.")
        if self.charset and self.generator != "characters":
            raise InputError(f"{self.generator} knows no charset.", remedy="Leave the charset out.")
        if bool(self.command) != (self.generator == "command"):
            raise InputError(
                "a command goes with the generator 'command', and only with it.",
                remedy="Name a program, or another generator.",
            )

    def entropy_bits(self) -> float | None:
        """Give the strength of a value in bits; ``None`` when only the command knows."""
        match self.generator:
            case "characters":
                letters, length = self.alphabet(), self.length or _CHARACTERS
                return math.log2(len(_leading(letters))) + (length - 1) * math.log2(len(letters))
            case "words":
                return (self.length or _WORDS) * _WORD_BITS
            case "pwqgen":
                return float(_PWQGEN_BITS)
            case "pwgen":
                return _pwgen_bits(self.length or _CHARACTERS)
            case "command":
                return None
            case _ as unknown:
                assert_never(unknown)

    def alphabet(self) -> str:
        """Give the characters a value is drawn from, each once."""
        joined = "".join(_CHARSETS.get(name, ALPHANUMERIC) for name in self._charsets())
        return "".join(dict.fromkeys(joined or ALPHANUMERIC))

    def describe(self) -> str:
        """Say in a few words how values are made and how strong they are."""
        bits = self.entropy_bits()
        strength = f", {bits:.0f} bits" if bits is not None else ""
        match self.generator:
            case "characters":
                kind = self.charset or "alphanumeric"
                return f"{self.length or _CHARACTERS} characters {kind}{strength}"
            case "words":
                return f"{self.length or _WORDS} EFF words{strength}"
            case "pwgen":
                return f"pwgen, {self.length or _CHARACTERS} characters{strength}"
            case "pwqgen":
                return f"pwqgen{strength}"
            case "command":
                return f"command {self.command[0]}"
            case _ as unknown:
                assert_never(unknown)

    def is_weak(self) -> bool:
        """Tell whether a value has fewer bits than the floor."""
        bits = self.entropy_bits()
        return bits is not None and bits < FLOOR_BITS

    def notes(self) -> tuple[str, ...]:
        """Say what an operator should know before agreeing to it."""
        unknown = [name for name in self._charsets() if name not in _CHARSETS]
        notes = [f"unknown charset {name!r}: alphanumeric is used" for name in unknown]
        if self.is_weak():
            notes.append(f"weaker than {FLOOR_BITS:.0f} bits")
        return tuple(notes)

    def _charsets(self) -> list[str]:
        return [name for part in self.charset.split(",") if (name := part.strip())]


def policy_for(*, length: int | None, charset: str) -> Policy:
    """Give the policy a recipe's modifiers ask for; without any, 32 alphanumeric characters."""
    return Policy(length=length, charset=charset)


def generate(policy: Policy) -> Secret:
    """Make a value.

    Raises
    ------
    MissingToolError
        The generator's program is not installed.
    OpskitError
        The program failed, printed nothing, or did not end.
    """
    match policy.generator:
        case "characters":
            return Secret(_characters(policy.alphabet(), policy.length or _CHARACTERS))
        case "words":
            return Secret("-".join(_draw(_words(), policy.length or _WORDS)))
        case "pwqgen":
            return _printed_by(("pwqgen", f"random={_PWQGEN_BITS}"), package="passwdqc")
        case "pwgen":
            # Without -s its values are pronounceable, and weak.
            length = str(policy.length or _CHARACTERS)
            return _printed_by(("pwgen", "-s", length, "1"), package="pwgen")
        case "command":
            return _printed_by(policy.command, package=policy.command[0])
        case _ as unknown:
            assert_never(unknown)


def _characters(alphabet: str, length: int) -> str:
    return "".join([*_draw(_leading(alphabet), 1), *_draw(alphabet, length - 1)])


def _leading(alphabet: str) -> str:
    # Many programs take a leading dash for an option.
    return alphabet.replace("-", "")


def _draw(what: str | tuple[str, ...], count: int) -> list[str]:
    return [secrets.choice(what) for _ in range(count)]


@lru_cache(maxsize=1)
def _words() -> tuple[str, ...]:
    # Loaded here: the list of words takes a while and few ask for it.
    from xkcdpass import xkcd_password

    read = cast("Callable[..., list[str]]", xkcd_password.generate_wordlist)
    # Its defaults would leave out the words of three and four letters, and their bits.
    return tuple(read(wordfile=xkcd_password.locate_wordfile("eff-long"), min_length=1))


def _pwgen_bits(length: int) -> float:
    """Count what ``pwgen -s`` may print: from three characters on, a capital and a digit occur."""
    if length < 3:
        return length * math.log2(62)
    # Logarithms of the ratios: the counts themselves grow beyond any float.
    without = (52 / 62) ** length + (36 / 62) ** length - (26 / 62) ** length
    return length * math.log2(62) + math.log2(1 - without)


def _printed_by(command: tuple[str, ...], *, package: str) -> Secret:
    name = command[0]
    try:
        ended = run(command, seconds=_TIMEOUT_S)
    except FileNotFoundError:
        raise MissingToolError(
            f"the generator {name} is not installed. Install it: apt-get install {package}"
        ) from None
    except TimeoutError:
        raise OpskitError(f"the generator {name} did not end in {_TIMEOUT_S:g} s.") from None
    except OverflowError:
        raise OpskitError(f"the generator {name} printed too much for a value.") from None
    except OSError as error:
        raise OpskitError(f"the generator {name} cannot be run ({error.strerror}).") from None
    # What it wrote to standard error is not shown: it may repeat the value.
    if ended.status != 0:
        raise OpskitError(
            f"the generator {name} ended with status {ended.status}. Run it by hand to see why."
        )
    try:
        return Secret(ended.output.removesuffix(b"\n"))
    except InputError as error:
        raise OpskitError(f"the generator {name} made no value: {error}") from None
