"""Making values: policies, their strength in bits, and the generators behind them."""

from __future__ import annotations

import math
import secrets
import string
import subprocess
from collections.abc import Callable
from typing import Literal, cast

import msgspec

from opskit.errors import InputError, MissingToolError, OpskitError
from opskit.secrets.value import Secret

GeneratorName = Literal["characters", "words", "pwqgen", "pwgen", "command"]

FLOOR_BITS = 128.0
_DEFAULT_LENGTH = 32
_TIMEOUT_S = 20.0

ALPHANUMERIC = string.ascii_letters + string.digits
_CHARSETS = {
    "default": ALPHANUMERIC,
    "hex": "0123456789abcdef",
    # Nothing that hurts in shells, URLs or SQL.
    "safespecial": ALPHANUMERIC + "-_.",
    "special": ALPHANUMERIC + "!@#$%^&*_-+=",
}
_WORD_BITS = math.log2(7776)
"""EFF's long list has 7,776 words."""
_WORDS = 10
_PWQGEN_BITS = 85


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """How a value is made.

    `length` counts characters (or words), `charset` is one of abra's names, comma-joined,
    `command` the words of a program that prints a value.
    """

    generator: GeneratorName = "characters"
    length: int | None = None
    charset: str = ""
    command: tuple[str, ...] = ()

    def entropy_bits(self) -> float | None:
        """Give the strength of a value in bits; ``None`` when only the command knows."""
        match self.generator:
            case "characters" | "pwgen":
                alphabet = self.alphabet() if self.generator == "characters" else ALPHANUMERIC
                return self.count() * math.log2(len(alphabet))
            case "words":
                return self.count() * _WORD_BITS
            case "pwqgen":
                return float(_PWQGEN_BITS)
            case "command":
                return None

    def count(self) -> int:
        """Give the number of characters, or of words."""
        if self.length is not None:
            return self.length
        return _WORDS if self.generator == "words" else _DEFAULT_LENGTH

    def alphabet(self) -> str:
        """Give the characters a value is drawn from, each once."""
        names = [name.strip() for name in self.charset.split(",") if name.strip()]
        joined = "".join(_CHARSETS.get(name, ALPHANUMERIC) for name in names) or ALPHANUMERIC
        return "".join(dict.fromkeys(joined))

    def describe(self) -> str:
        """Say in a few words how values are made and how strong they are."""
        bits = self.entropy_bits()
        strength = f", {bits:.0f} bits" if bits is not None else ""
        match self.generator:
            case "characters":
                kind = self.charset or "alphanumeric"
                return f"{self.count()} characters {kind}{strength}"
            case "words":
                return f"{self.count()} EFF words{strength}"
            case "command":
                return f"command {self.command[0] if self.command else '(none)'}"
            case name:
                return f"{name}{strength}"

    def is_weak(self) -> bool:
        """Tell whether a value has fewer bits than the floor."""
        bits = self.entropy_bits()
        return bits is not None and bits < FLOOR_BITS


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
        The program failed, or printed nothing.
    """
    match policy.generator:
        case "characters":
            return Secret(_characters(policy.alphabet(), policy.count()))
        case "words":
            return Secret(_words(policy.count()))
        case "pwqgen":
            return _run(("pwqgen", f"random={_PWQGEN_BITS}"), "passwdqc")
        case "pwgen":
            return _run(("pwgen", "-s", str(policy.count()), "1"), "pwgen")
        case "command":
            if not policy.command:
                raise InputError("the generator command is empty.", remedy="Name a program.")
            return _run(policy.command, policy.command[0])


def _characters(alphabet: str, length: int) -> str:
    if length < 1:
        raise InputError("a value needs at least one character.", remedy="Use --length 32.")
    # A leading dash would be taken for an option by many programs.
    first = [character for character in alphabet if character != "-"]
    rest = (secrets.choice(alphabet) for _ in range(length - 1))
    return secrets.choice(first) + "".join(rest)


def _words(count: int) -> str:
    # Loaded here: the list of words takes a while and few ask for it.
    from xkcdpass import xkcd_password

    read = cast("Callable[..., list[str]]", xkcd_password.generate_wordlist)
    words = read(wordfile=xkcd_password.locate_wordfile("eff-long"))
    return "-".join(secrets.choice(words) for _ in range(count))


def _run(command: tuple[str, ...], package: str) -> Secret:
    try:
        ended = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError:
        raise MissingToolError(
            f"the generator {command[0]} is not installed. Install it: apt-get install {package}"
        ) from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise OpskitError(f"the generator {command[0]} failed ({type(error).__name__}).") from None
    if ended.returncode != 0:
        raise OpskitError(f"the generator {command[0]} ended with status {ended.returncode}.")
    return Secret(ended.stdout.removesuffix(b"\n"))
