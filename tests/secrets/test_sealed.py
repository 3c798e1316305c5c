"""Sealing between a browser tab and the kernel."""

from __future__ import annotations

import pytest
from joserfc import jwe
from joserfc.jwe import JWERegistry
from joserfc.jwk import ECKey

from opskit.errors import InputError
from opskit.secrets.sealed import Sealer, seal
from opskit.secrets.value import MAX_BYTES, Secret

REGISTRY = JWERegistry(algorithms=["ECDH-ES", "A256GCM"], strict_check_header=False)


@pytest.mark.parametrize("value", [b"x", b"\x00\xff\n", b"v" * MAX_BYTES], ids=len)
def test_what_was_sealed_to_a_process_is_opened_there(value: bytes) -> None:
    kernel = Sealer()
    sealed = seal(Secret(value), kernel.public, purpose="insert")
    assert kernel.open(sealed, purpose="insert").reveal() == value


def test_it_opens_once_and_for_its_purpose_and_nowhere_else() -> None:
    kernel = Sealer()
    sealed = seal(Secret("a value"), kernel.public, purpose="insert")
    with pytest.raises(InputError, match="something else"):
        kernel.open(sealed, purpose="other")
    with pytest.raises(InputError, match="not sealed for this kernel"):
        Sealer().open(sealed, purpose="insert")
    kernel.open(sealed, purpose="insert")
    with pytest.raises(InputError, match="used before"):
        kernel.open(sealed, purpose="insert")


def test_a_changed_byte_is_noticed() -> None:
    kernel = Sealer()
    head, *middle, cipher, tag = seal(Secret("value"), kernel.public, purpose="p").split(".")
    cipher = ("B" if cipher[0] == "A" else "A") + cipher[1:]
    with pytest.raises(InputError, match="not sealed for this kernel"):
        kernel.open(".".join([head, *middle, cipher, tag]), purpose="p")


@pytest.mark.parametrize("junk", [None, 3, "", "a.b.c.d.e", "x" * 800_000, {"a": 1}, "eyJ9.a"])
def test_anything_else_is_refused_without_being_shown(junk: object) -> None:
    with pytest.raises(InputError, match="Reload the page") as refused:
        Sealer().open(junk, purpose="p")
    assert "a.b.c" not in str(refused.value)


def test_a_revealed_value_is_for_the_tab_that_asked() -> None:
    tab = ECKey.generate_key("P-256")
    sealed = seal(Secret("new value"), tab.as_dict(private=False), purpose="reveal")
    assert "new value" not in sealed
    assert jwe.decrypt_compact(sealed, tab, registry=REGISTRY).plaintext == b"new value"


@pytest.mark.parametrize("key", [{}, {"kty": "EC"}, {"kty": "EC", "crv": "P-256", "x": 1, "y": 2}])
def test_a_tab_without_a_key_is_refused(key: dict[str, object]) -> None:
    with pytest.raises(InputError, match="browser's key"):
        seal(Secret("value"), key, purpose="reveal")


def test_the_public_key_holds_nothing_private() -> None:
    assert set(Sealer().public) >= {"kty", "crv", "x", "y"}
    assert "d" not in Sealer().public
