"""How values are made: policies, and their strength in bits."""

from __future__ import annotations

import msgspec

from opskit.arguments import check_choice, check_count, check_text, names_in
from opskit.errors import InputError
from opskit.secrets.generators import ALPHANUMERIC, CHARACTERS, CHARSETS, GENERATORS, Generator
from opskit.secrets.value import MAX_BYTES, Secret

FLOOR_BITS = 128.0
"""Fewer bits need somebody's wish: the recipe's, by its marks, or the operator's."""
GUESSABLE_BITS = 64.0
"""Fewer bits can be guessed by whoever gets hold of what a value encrypts or of its digest."""


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """How a value is made.

    Parameters
    ----------
    generator
        One of `opskit.secrets.generators.GENERATORS`, such as ``characters`` or ``words``;
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
        There is no such generator.
    """

    generator: str = "characters"
    length: int | None = None
    charset: str = ""
    command: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_choice("generator", self.generator, tuple(GENERATORS))

    def check(self) -> None:
        """Refuse parts that do not go together.

        Asked of what an operator gives, and not of what is read: a journal's plans can be resumed
        and undone, whatever was allowed when they were made.

        Raises
        ------
        InputError
            Says which part, and what it may be.
        """
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
        The parts of the wish do not go together, or its generator cannot make what the marks ask
        for.
    """
    wish = wish or Policy()
    wish.check()
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


def generate(policy: Policy) -> Secret:
    """Make a value.

    Raises
    ------
    MissingToolError
        The generator's program is not installed.
    OpskitError
        The program failed, printed nothing, or did not end.
    """
    return GENERATORS[policy.generator].make(policy)
