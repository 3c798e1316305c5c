"""Importing packages without what they import for nothing."""

from __future__ import annotations

import gc
import sys
from collections.abc import Generator
from contextlib import contextmanager
from types import ModuleType
from typing import cast

_GRAMMAR = "rfc3987_syntax"
_FROZEN_BY_PYTHON = 1000
"""Python 3.12 freezes some 400 of its own objects; who freezes a program's has thousands."""


@contextmanager
def without_grammars() -> Generator[None]:
    """Let what imports jsonschema do so in a tenth of the time.

    Beside JupyterLab, jsonschema finds a package that makes a parser of all international
    addresses when it is imported: 1.6 s, for a format that no schema of notebooks, charts or
    Jupyter's events names. Whoever wants that package can import it afterwards.
    """
    modules = cast("dict[str, ModuleType | None]", sys.modules)
    is_ours = _GRAMMAR not in modules
    if is_ours:
        modules[_GRAMMAR] = None
    try:
        yield
    finally:
        if is_ours and modules.get(_GRAMMAR, ...) is None:
            del modules[_GRAMMAR]


@contextmanager
def without_collecting() -> Generator[None]:
    """Let what imports or reads much do so without a search for garbage: there is none in it."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            if gc.get_freeze_count() < _FROZEN_BY_PYTHON:
                # Else all that was made meanwhile would be searched now, as what is young is.
                gc.freeze()
                gc.unfreeze()
            gc.enable()
