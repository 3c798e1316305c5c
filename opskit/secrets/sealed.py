"""Values sealed between a browser tab and this process, so that nothing on the way can read them.

JSON Web Encryption (RFC 7516) with ECDH-ES on P-256 and AES-256-GCM, which browsers' WebCrypto
offers. What is sealed names its purpose in the protected header and can be opened once.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwe import JWERegistry
from joserfc.jwk import ECKey

from opskit.errors import InputError
from opskit.secrets.value import Secret

_ALGORITHM, _ENCRYPTION, _CURVE = "ECDH-ES", "A256GCM", "P-256"
# A little more than the largest value in base64 and its header.
_LONGEST = 700_000
_WAITS_S = 600.0
"""How long a new value waits to be revealed to the tab that made it."""


class _Registry(JWERegistry):
    max_ciphertext_length = _LONGEST


_REGISTRY = _Registry(algorithms=[_ALGORITHM, _ENCRYPTION], strict_check_header=False)


class Sealer:
    """A key pair that is never written down and ends with the process."""

    def __init__(self) -> None:
        self._key = ECKey.generate_key(_CURVE)
        self._opened: set[str] = set()

    @property
    def public(self) -> dict[str, str]:
        """The public key as a JWK."""
        return {name: str(value) for name, value in self._key.as_dict(private=False).items()}

    def open(self, sealed: object, *, purpose: str) -> Secret:
        """Open what a browser sealed to `public`.

        Parameters
        ----------
        sealed
            A compact JWE; anything else is refused.
        purpose
            What the value must have been sealed for.

        Raises
        ------
        InputError
            It was not sealed to this process or for this purpose, was opened before, or holds no
            value that Swarm takes.
        """
        if not isinstance(sealed, str) or len(sealed) > _LONGEST:
            raise _refused("is not a sealed value")
        header = _header(sealed)
        once = header.get("jti")
        if header.get("purpose") != purpose or not isinstance(once, str) or not once:
            raise _refused("was sealed for something else")
        if once in self._opened:
            raise _refused("was used before")
        content = _opened(sealed, self._key)
        self._opened.add(once)
        return Secret.from_stream(content, strip_newline=False)


def seal(value: Secret, public: Mapping[str, object], *, purpose: str) -> str:
    """Seal a value to the key of one browser tab.

    Raises
    ------
    InputError
        The key is not one.
    """
    header = {
        "alg": _ALGORITHM,
        "enc": _ENCRYPTION,
        "purpose": purpose,
        "jti": secrets.token_urlsafe(12),
    }
    try:
        key = ECKey.import_key({name: str(public[name]) for name in ("kty", "crv", "x", "y")})
    except (KeyError, ValueError, JoseError):
        raise InputError("the browser's key cannot be read.", remedy="Reload the page.") from None
    return jwe.encrypt_compact(header, value.reveal(), key, registry=_REGISTRY)


SEALER = Sealer()
"""One key pair for all forms of this process."""


@dataclass(frozen=True, slots=True)
class Unrevealed:
    """A new value, which the one tab that made it may have for a while."""

    value: Secret
    tab: str
    made_at: float

    @classmethod
    def now(cls, value: Secret, tab: str) -> Unrevealed:
        """Return a value that begins to wait."""
        return cls(value, tab, time.monotonic())

    def sealed_to(self, key: Mapping[str, object]) -> str:
        """Seal the value to the tab's key.

        Raises
        ------
        InputError
            It waited too long, or the key is not one.
        """
        if time.monotonic() > self.made_at + _WAITS_S:
            raise InputError(
                "The value waited too long to be revealed.", remedy="Rotate again if needed."
            )
        return seal(self.value, key, purpose="reveal")


def _header(sealed: str) -> Mapping[str, Any]:
    # Read before opening only to refuse early; opening proves that it was not changed.
    part = sealed.partition(".")[0]
    try:
        found = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, binascii.Error):
        raise _refused("is not a sealed value") from None
    return cast("Mapping[str, Any]", found) if isinstance(found, dict) else {}


def _opened(sealed: str, key: ECKey) -> io.BytesIO:
    try:
        # Never a local that holds the value: a traceback may show those.
        return io.BytesIO(jwe.decrypt_compact(sealed, key, registry=_REGISTRY).plaintext or b"")
    except (JoseError, ValueError):
        raise _refused("was not sealed for this kernel") from None


def _refused(why: str) -> InputError:
    return InputError(f"what the browser sent {why}.", remedy="Reload the page and type it again.")
