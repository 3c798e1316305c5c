"""How values are made: generators and charsets, policies, and their strength in bits.

A generator is one entry of `GENERATORS`, which feeds policies, command line and forms, and the
function that makes its values.
"""

from __future__ import annotations

import math
import secrets
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

import msgspec

from opskit.arguments import check_choice, check_count, check_text, names_in
from opskit.errors import InputError, MissingToolError, OpskitError
from opskit.secrets.program import run
from opskit.secrets.value import MAX_BYTES, Secret

ALPHANUMERIC = string.ascii_letters + string.digits

CHARSETS: Mapping[str, tuple[str, str]] = {
    # Nothing that hurts in shells, URLs or SQL.
    "default": (ALPHANUMERIC, "letters and digits"),
    "hex": ("0123456789abcdef", "hex"),
    "safespecial": (ALPHANUMERIC + "-_.", "letters, digits and -_."),
    "special": (ALPHANUMERIC + "!@#$%^&*_-+=", "with special characters"),
}
"""abra's names, with the characters and the label of each.

A recipe that asks for ``special`` gets what may need quoting.
"""

CHARACTERS = 32
_WORDS = 10
_WORD_BITS = math.log2(7776)
"""EFF's long list has 7,776 words."""
_PWQGEN_BITS = 128
"""passwdqc makes 24 to 136 bits, 47 when not told."""
_TIMEOUT_S = 20.0

FLOOR_BITS = 128.0
"""Fewer bits need somebody's wish: the recipe's, by its marks, or the operator's."""
GUESSABLE_BITS = 64.0
"""Fewer bits can be guessed by whoever gets hold of what a value encrypts or of its digest."""


class PlannedPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How a value is made, as a plan says: `Policy` says what its parts are.

    A journal's plans can be resumed and undone, whatever was allowed when they were made: only that
    there is such a generator is asked of what is read.
    """

    generator: str = "characters"
    length: int | None = None
    charset: str = ""
    command: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_choice("generator", self.generator, tuple(GENERATORS))

    @property
    def _generator(self) -> Generator:
        return GENERATORS[self.generator]

    def entropy_bits(self) -> float | None:
        """Return the strength of a value in bits; ``None`` when only the command knows."""
        return self._generator.bits(self)

    def alphabet(self) -> str:
        """Return the characters a value is drawn from, each once; unknown names mean default."""
        default = CHARSETS["default"]
        joined = "".join(CHARSETS.get(name, default)[0] for name in self._charsets() if name)
        return "".join(dict.fromkeys(joined or ALPHANUMERIC))

    def describe(self) -> str:
        """Return in a few words how values are made and how strong they are."""
        bits = self.entropy_bits()
        strength = f", {bits:.0f} bits" if bits is not None else ""
        return f"{self._generator.describe(self)}{strength}"

    def is_weak(self) -> bool:
        """Return whether a value has fewer bits than the floor."""
        bits = self.entropy_bits()
        return bits is not None and bits < FLOOR_BITS

    def is_guessable(self) -> bool:
        """Return whether a value has so few bits that it can be guessed."""
        bits = self.entropy_bits()
        return bits is not None and bits < GUESSABLE_BITS

    def _charsets(self) -> list[str]:
        return [name.strip() for name in self.charset.split(",")] if self.charset else []


class Policy(PlannedPolicy, frozen=True, kw_only=True):
    """How a value is to be made.

    Parameters
    ----------
    generator
        One of `GENERATORS`, such as ``characters`` or ``words``;
        ``command`` is any program that prints a value.
    length
        Of characters, or of words; by default as many as reach the floor of 128 bits.
    charset
        abra's names, comma-joined; the alphabets are joined too.
    command
        The program and its arguments, run without a shell. They are shown and stored with the
        plan, so they are no place for a secret.

    Raises
    ------
    InputError
        A part is not what it must be, or parts do not go together; says which, and what it may be.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        check_text("charset", self.charset, "Name one, such as hex.", empty=True)
        if self.charset and not set(self._charsets()) <= CHARSETS.keys():
            raise InputError(
                f"the charset {self.charset!r} is not known.",
                remedy=f"Name one or several of {', '.join(CHARSETS)}, comma-joined.",
            )
        names_in("command", self.command, empty=True)
        if self.length is not None:
            check_count("length", self.length, least=1)
        if self.length is not None and self.length > MAX_BYTES:
            raise InputError(
                f"a value cannot have the length {self.length}.",
                remedy=f"Use 1 to {MAX_BYTES:,}, or none for {CHARACTERS}.",
            )
        if self.length is not None and not self._generator.takes_length:
            raise InputError(f"{self.generator} knows no length.", remedy="Leave the length out.")
        if self.charset and not self._generator.takes_charset:
            raise InputError(f"{self.generator} knows no charset.", remedy="Leave the charset out.")
        if bool(self.command) != self._generator.takes_command:
            raise InputError(
                "a command goes with the generator 'command', and only with it.",
                remedy="Name a program, or another generator.",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Generator:
    """A way to make values.

    Parameters
    ----------
    label
        How forms call it.
    make
        Makes a value as a policy wants it.
    bits
        Returns the strength of such a value; ``None`` when nobody knows it.
    describe
        Says in a few words what such a value is.
    takes_length, takes_charset
        Whether a policy may say so much of it.
    counts_characters
        Whether the length it takes is one of characters.
    makes
        The charset that its values are of, if one may be named that it does not take.
    takes_command
        Whether it is a program that the policy names, and so no choice by itself.
    """

    label: str
    make: Callable[[PlannedPolicy], Secret]
    bits: Callable[[PlannedPolicy], float | None]
    describe: Callable[[PlannedPolicy], str]
    takes_length: bool = True
    takes_charset: bool = False
    counts_characters: bool = False
    makes: str = ""
    takes_command: bool = False


def _characters(policy: PlannedPolicy) -> Secret:
    alphabet, length = policy.alphabet(), policy.length or CHARACTERS
    return Secret("".join([*_draw(_leading(alphabet), 1), *_draw(alphabet, length - 1)]))


def _characters_bits(policy: PlannedPolicy) -> float:
    letters, length = policy.alphabet(), policy.length or CHARACTERS
    return math.log2(len(_leading(letters))) + (length - 1) * math.log2(len(letters))


def _leading(alphabet: str) -> str:
    # Many programs take a leading dash for an option.
    return alphabet.replace("-", "")


def _draw(what: str | tuple[str, ...], count: int) -> list[str]:
    return [secrets.choice(what) for _ in range(count)]


def _words(policy: PlannedPolicy) -> Secret:
    return Secret("-".join(_draw(word_list(), policy.length or _WORDS)))


@lru_cache(maxsize=1)
def word_list() -> tuple[str, ...]:
    """Return EFF's long list."""
    # Loaded here: the list of words takes a while and few ask for it.
    from xkcdpass import xkcd_password

    read = cast("Callable[..., list[str]]", xkcd_password.generate_wordlist)
    # Its defaults would leave out the words of three and four letters, and their bits.
    return tuple(read(wordfile=xkcd_password.locate_wordfile("eff-long"), min_length=1))


def _pwqgen(_policy: PlannedPolicy) -> Secret:
    return _printed_by(("pwqgen", f"random={_PWQGEN_BITS}"), package="passwdqc")


def _pwgen(policy: PlannedPolicy) -> Secret:
    # Without -s its values are pronounceable, and weak.
    length = str(policy.length or CHARACTERS)
    return _printed_by(("pwgen", "-s", length, "1"), package="pwgen")


def _pwgen_bits(policy: PlannedPolicy) -> float:
    """Count what ``pwgen -s`` may print: from three characters on, a capital and a digit occur."""
    length = policy.length or CHARACTERS
    if length < 3:
        return length * math.log2(62)
    # Logarithms of the ratios: the counts themselves grow beyond any float.
    without = (52 / 62) ** length + (36 / 62) ** length - (26 / 62) ** length
    return length * math.log2(62) + math.log2(1 - without)


def _command(policy: PlannedPolicy) -> Secret:
    return _printed_by(policy.command, package=policy.command[0])


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


GENERATORS: Mapping[str, Generator] = {
    "characters": Generator(
        label="characters",
        make=_characters,
        bits=_characters_bits,
        describe=lambda policy: (
            f"{policy.length or CHARACTERS} characters {policy.charset or 'alphanumeric'}"
        ),
        takes_charset=True,
        counts_characters=True,
    ),
    "words": Generator(
        label="EFF words",
        make=_words,
        bits=lambda policy: (policy.length or _WORDS) * _WORD_BITS,
        describe=lambda policy: f"{policy.length or _WORDS} EFF words",
    ),
    "pwqgen": Generator(
        label="pwqgen",
        make=_pwqgen,
        bits=lambda _policy: float(_PWQGEN_BITS),
        describe=lambda _policy: "pwqgen",
        takes_length=False,
    ),
    "pwgen": Generator(
        label="pwgen",
        make=_pwgen,
        bits=_pwgen_bits,
        describe=lambda policy: f"pwgen, {policy.length or CHARACTERS} characters",
        counts_characters=True,
        makes="default",
    ),
    "command": Generator(
        label="a program",
        make=_command,
        bits=lambda _policy: None,
        describe=lambda policy: f"command {policy.command[0]}",
        takes_length=False,
        takes_command=True,
    ),
}

OFFERED: Mapping[str, str] = {
    name: one.label for name, one in GENERATORS.items() if not one.takes_command
}
"""What a person may choose by name, with the label of each."""


def policy_for(*, length: int | None, charset: str, wish: Policy | None = None) -> Policy:
    """Return how a value is made as a recipe's marks ask; without any, 32 letters and digits.

    Parameters
    ----------
    length, charset
        The marks.
    wish
        What an operator asks for. What it leaves open is as the marks say; a command decides all.

    Raises
    ------
    InputError
        The generator that is wished for cannot make what the marks ask for.
    """
    wish = wish or Policy()
    generator = GENERATORS[wish.generator]
    if generator.takes_command:
        return wish
    lost: list[str] = []
    if wish.length is not None or length is None:
        length = wish.length
    elif not generator.counts_characters:
        lost.append(f"length={length}")
    if wish.charset or not charset:
        charset = wish.charset
    elif generator.makes == charset:
        charset = ""
    elif not generator.takes_charset:
        lost.append(f"charset={charset}")
    if lost:
        raise InputError(
            f"its recipe asks for {' '.join(lost)}, which {wish.generator} cannot make.",
            remedy="Leave the generator out; or name a program that makes such a value, which then "
            "decides all (--command).",
        )
    return Policy(generator=wish.generator, length=length, charset=charset)


def generate(policy: PlannedPolicy) -> Secret:
    """Make a value.

    Raises
    ------
    MissingToolError
        The generator's program is not installed.
    OpskitError
        The program failed, printed nothing, or did not end.
    """
    return GENERATORS[policy.generator].make(policy)
