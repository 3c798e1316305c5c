"""How values are made: policies, and their strength in bits."""

from __future__ import annotations

import msgspec

from opskit.arguments import check_choice, check_count, check_text, names_in
from opskit.errors import InputError
from opskit.secrets.generators import ALPHANUMERIC, CHARACTERS, CHARSETS, GENERATORS, Generator
from opskit.secrets.value import MAX_BYTES, Secret

FLOOR_BITS = 128.0
"""Fewer bits need somebody's wish: the recipe's, by its modifiers, or the operator's."""


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
        abra's names, comma-joined; an unknown one means ``default``, as in abra.
    command
        The program and its arguments, run without a shell. They are shown and stored with the
        plan, so they are no place for a secret.

    Raises
    ------
    InputError
        The parts do not go together.
    """

    generator: str = "characters"
    length: int | None = None
    charset: str = ""
    command: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_choice("generator", self.generator, tuple(GENERATORS))
        check_text("charset", self.charset, "Name one, such as hex.", empty=True)
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
        """Return the characters a value is drawn from, each once."""
        default = CHARSETS["default"]
        joined = "".join(CHARSETS.get(name, default)[0] for name in self._charsets())
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

    def notes(self) -> tuple[str, ...]:
        """Return what an operator should know before agreeing to it."""
        unknown = [name for name in self._charsets() if name not in CHARSETS]
        notes = [f"unknown charset {name!r}: alphanumeric is used" for name in unknown]
        if self.is_weak():
            notes.append(f"weaker than {FLOOR_BITS:.0f} bits")
        return tuple(notes)

    def _charsets(self) -> list[str]:
        return [name for part in self.charset.split(",") if (name := part.strip())]


def policy_for(*, length: int | None, charset: str) -> Policy:
    """Return the policy a recipe's modifiers ask for; without any, 32 alphanumeric characters."""
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
    return GENERATORS[policy.generator].make(policy)
