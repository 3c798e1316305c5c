"""From what a form's fields say to the options of a plan."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from opskit.modes import DeployMode
from opskit.operations.options import Options
from opskit.secrets.generate import Policy


def options_from(said: Any) -> Options:
    """Read a form's option fields; empty ones leave what the recipe and the settings say.

    Raises
    ------
    InputError
        A field makes no sense; names it.
    """
    fields: dict[str, Any] = cast("dict[str, Any]", said) if isinstance(said, dict) else {}
    length, charset, generator = (fields.get(key) for key in ("length", "charset", "generator"))
    policy = None
    if length or charset or generator:
        policy = Policy(
            generator=str(generator or "characters"),
            length=int(length) if isinstance(length, int | float) and length else None,
            charset=str(charset or ""),
        )
    mode = str(fields.get("deploy") or "")
    options = Options(
        policy=policy,
        use_pass=fields.get("use_pass") is True,
        hook=str(fields.get("hook") or ""),
        no_hook=fields.get("no_hook") is True,
    )
    return replace(options, deploy=cast("DeployMode", mode)) if mode else options
