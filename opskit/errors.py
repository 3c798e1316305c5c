"""Everything that can go wrong, as one family.

OpskitError
├── InputError            a file, name, option or expression is wrong; says what, where, how to mend
│   └── ContextError      no usable Docker context for a server
├── MissingToolError      a program opskit was asked to use is not installed
├── EngineError           an engine answered, and refused
│   ├── NotFoundError         no such object
│   ├── AlreadyExistsError    the name is taken
│   ├── InUseError            a service still references the object
│   ├── StaleIndexError       the object changed since it was read
│   ├── NotManagerError       not in a swarm, worker, locked, expired or without quorum
│   └── RefusedError          any other refusal (a bad request, a forbidden call)
├── UnreachableError      no answer: name lookup, connection, ssh or deadline
│   └── LoginRefusedError     ssh took none of the keys
├── StalePlanError        the world moved since the plan was made
├── LockHeldError         someone else is working on this stack
├── LockLostError         a run's lock is no longer its own: it may not write
├── JournalError          the journal cannot be read or written
├── StepError             a step of a run failed
├── NotebookError         a cell of a notebook that was run failed
├── RunbookError          a check failed, or a step stands in the way
│   └── UndecidedError    nobody has answered a question yet
└── VerifyError           the change was made but did not prove itself

A message is one or two sentences: what happened, where, and the next step. It never carries
a secret's value.
"""

from __future__ import annotations

from pathlib import Path

from opskit.inert import visible


class OpskitError(Exception):
    """Anything opskit raises on purpose; its text is fit to show an operator."""

    def __str__(self) -> str:
        # It often quotes a server, a program or a file.
        return visible(super().__str__())

    def _render_traceback_(self) -> list[str]:
        """Show a notebook what the message says, where IPython would show opskit's source too.

        See ``InteractiveShell.showtraceback``; in plain Python the traceback is as ever.
        """
        return [f"{type(self).__name__}: {self}", *map(visible, getattr(self, "__notes__", ()))]


class InputError(OpskitError):
    """Bad input: what is wrong, where (``file:line`` when known), and how to mend it.

    Parameters
    ----------
    what
        One sentence naming the fault.
    path, line
        Where it stands; the line counts from 1.
    remedy
        One sentence saying how to mend it.
    """

    def __init__(
        self,
        what: str,
        *,
        path: Path | None = None,
        line: int | None = None,
        remedy: str = "",
    ) -> None:
        self.what, self.path, self.line, self.remedy = what, path, line, remedy
        where = "" if path is None else f"{path}:{line}: " if line else f"{path}: "
        super().__init__(f"{where}{what}{' ' + remedy if remedy else ''}")


class ContextError(InputError):
    """No Docker context leads to this server."""


class MissingToolError(OpskitError):
    """A program opskit was asked to use is not installed."""


class EngineError(OpskitError):
    """An engine answered, and refused.

    Parameters
    ----------
    message
        The sentence for the operator.
    server
        The server that answered.
    status
        The HTTP status, 0 when there was none.
    remedy
        One sentence saying how to mend it.
    """

    def __init__(
        self, message: str, *, server: str = "", status: int = 0, remedy: str = ""
    ) -> None:
        self.what, self.remedy = message, remedy
        self.server, self.status = server, status
        super().__init__(_about(server, message, remedy))


class NotFoundError(EngineError):
    """No such object."""


class AlreadyExistsError(EngineError):
    """The name is taken."""


class InUseError(EngineError):
    """A service still references the object."""


class StaleIndexError(EngineError):
    """The object changed since it was read (Swarm's version index moved)."""


class NotManagerError(EngineError):
    """The engine cannot manage a swarm now: none, worker, locked, expired, no quorum."""


class RefusedError(EngineError):
    """Any other refusal."""


class UnreachableError(OpskitError):
    """No answer from a server; for a write, its outcome is unknown.

    Parameters
    ----------
    message
        The sentence for the operator.
    server
        The server that did not answer.
    remedy
        One sentence saying how to mend it.
    """

    def __init__(self, message: str, *, server: str = "", remedy: str = "") -> None:
        self.what, self.remedy, self.server = message, remedy, server
        super().__init__(_about(server, message, remedy))


class LoginRefusedError(UnreachableError):
    """A server takes none of the keys that ssh has for it."""


class StalePlanError(OpskitError):
    """The world moved since the plan was made."""


class LockHeldError(OpskitError):
    """Someone else is working on this stack."""


class LockLostError(OpskitError):
    """A stack's lock is no longer this run's own, which therefore may not write to it."""


class JournalError(OpskitError):
    """The journal cannot be read or written; nothing was changed."""


class StepError(OpskitError):
    """A step of a run failed."""


class NotebookError(OpskitError):
    """A cell of a notebook that was run failed, or was stopped.

    Parameters
    ----------
    message
        Which cell, and its error's last line.
    copy
        The executed copy.
    stopped
        Whether somebody stopped it.
    """

    def __init__(self, message: str, *, copy: Path, stopped: bool = False) -> None:
        self.copy, self.stopped = copy, stopped
        super().__init__(f"{message} (executed copy: {copy})")


class RunbookError(OpskitError):
    """A check of a runbook failed, or a step stands in the way."""


class UndecidedError(RunbookError):
    """Nobody has answered a question yet; what follows it was not done."""


class VerifyError(OpskitError):
    """The change was made but did not prove itself."""


def _about(server: str, what: str, remedy: str) -> str:
    text = f"{what} {remedy}" if remedy else what
    return f"{server}: {text}" if server else text
