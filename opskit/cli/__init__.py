"""The ``opskit`` command: a thin skin over the same functions notebooks call."""

from opskit.cli.app import main

__all__ = ["main"]
