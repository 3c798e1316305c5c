"""How a run is carried out: what applying, resuming and rolling back take alike."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypedDict, TypeVar, get_type_hints

from opskit.arguments import check_count, check_flag, check_function, check_text
from opskit.errors import InputError
from opskit.journal.claimed import person_here
from opskit.run.work import Progressed, say_nothing
from opskit.settings import read_settings

_F = TypeVar("_F", bound=Callable[..., object])


class RunOptions(TypedDict, total=False):
    """What `Plan.apply`, `Fleet.resume` and `Fleet.rollback` take beside what is to be done.

    Attributes
    ----------
    max_parallel
        Stacks worked on at once; by default as many as the settings say.
    keep_going
        Go on with other stacks after one failed.
    identity
        The claimed person, for lock and journal; by default who runs the cell, where a Jupyter
        server says so.
    on_progress
        Told of each step as it begins and ends, from worker threads.

    Examples
    --------
    >>> plan = fleet.plan_restart("notes.coop.example")
    >>> plan.apply(max_parallel=2, identity="Ada", keep_going=True).status
    'done'
    """

    max_parallel: int | None
    keep_going: bool
    identity: str
    on_progress: Callable[[Progressed], None]


_DEFAULTS = RunOptions(max_parallel=None, keep_going=False, identity="", on_progress=say_nothing)


def takes_run_options(function: _F) -> _F:
    """Let ``help`` and completion name each option, which the type names all at once."""
    signature = inspect.signature(function)
    options = [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=_DEFAULTS[name], annotation=kind
        )
        for name, kind in get_type_hints(RunOptions).items()
    ]
    own = list(signature.parameters.values())[:-1]
    function.__signature__ = signature.replace(parameters=[*own, *options])  # pyright: ignore[reportFunctionMemberAccess]
    return function


def checked(given: RunOptions) -> dict[str, Any]:
    """Return all options, given or as they are by default.

    Raises
    ------
    InputError
        There is no such option, or one is not what it must be.
    """
    for name in given:
        if name not in _DEFAULTS:
            remedy = f"It takes: {', '.join(_DEFAULTS)}."
            raise InputError(f"a run takes no {name!r}.", remedy=remedy)
    options: dict[str, Any] = {**_DEFAULTS, **given}
    if options["max_parallel"] is None:
        options["max_parallel"] = read_settings().max_parallel
    check_count("max_parallel", options["max_parallel"], least=1)
    check_flag("keep_going", options["keep_going"])
    check_text("identity", options["identity"], "Name the person.", empty=True)
    options["identity"] = options["identity"] or person_here()
    check_function("on_progress", options["on_progress"])
    return options
