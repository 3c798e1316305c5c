"""The command tree, and how errors leave it: one sentence on stderr and an exit status."""

from __future__ import annotations

import gc
import sys
import traceback
from functools import cache, partial
from pathlib import Path
from typing import Any, TextIO, cast

import typer
from typer.main import get_command

from opskit.cli import (
    apps,
    change,
    demo,
    doctor,
    findings,
    fix,
    notebooks,
    read,
    runs,
    watch,
)
from opskit.cli.guide import add_guides
from opskit.errors import InputError, MissingToolError, OpskitError
from opskit.inert import visible
from opskit.secrets.redact import redact

FINE, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130

app = typer.Typer(
    name="opskit",
    help="See and safely change many small Docker Swarm servers.",
    no_args_is_help=True,
    # A traceback with locals could show a secret.
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
doctor.add_to(app)
read.add_to(app)
app.command()(doctor.disconnect)
watch.add_to(app)
findings.add_to(app)
fix.add_to(app)
app.command()(findings.acknowledge)
change.add_to(app)
apps.add_to(app)
runs.add_to(app)
notebooks.add_to(app)
demo.add_to(app)
add_guides(app)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line.

    Exit status: 0 fine, 1 findings or a step failed, 2 bad usage or input, 130 interrupted.
    """
    status = run(arguments)
    # All that was loaded goes with the process: garbage is not looked for in it.
    gc.freeze()
    sys.exit(status)


def run(arguments: list[str] | None = None) -> int:
    """Run the command line and give its exit status."""
    stdout, stderr = sys.stdout, sys.stderr
    sys.stdout = cast("TextIO", _Inert(_Output(stdout)))
    sys.stderr = cast("TextIO", _Inert(stderr))
    try:
        status = _run(arguments)
        sys.stdout.flush()
    except _OutputError as error:
        # Python would try to write the rest once more when it ends.
        stdout = None
        if isinstance(error.cause, BrokenPipeError):
            # The reader of our output has gone, as in `opskit secrets | head`.
            return FINE
        return _say(f"the output cannot be written: {error.cause.strerror}.", FAILED)
    finally:
        sys.stdout, sys.stderr = stdout, stderr
    return status


# A process that asks for several makes the tree of all commands once.
_commands = cache(partial(get_command, app))


def _run(arguments: list[str] | None) -> int:
    try:
        _commands()(arguments)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else FINE
    except (InputError, MissingToolError) as error:
        return _say(str(error), BAD_INPUT)
    except OpskitError as error:
        return _say(str(error), FAILED)
    except KeyboardInterrupt:
        return _say("interrupted.", INTERRUPTED)
    except OSError as error:
        return _say(redact(_stray(error)), FAILED)
    return FINE


class _Inert:
    """A stream that passes text on with all of it to be seen; see `opskit.inert`.

    Rich writes past it, as its colours and moves are meant: what is given to rich is made
    `visible` there.
    """

    def __init__(self, stream: Any) -> None:
        self.rich_proxied_file = self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(visible(text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _OutputError(Exception):
    """Standard output takes nothing more.

    No OSError, as click answers some of those itself.
    """

    def __init__(self, cause: OSError) -> None:
        super().__init__(str(cause))
        self.cause = cause


class _Output:
    """Standard output, whose own errors are told from those of files and sockets."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            raise _OutputError(error) from error

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            raise _OutputError(error) from error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _stray(error: OSError) -> str:
    """Name the file, or else the place in the program, of an error nobody expected."""
    if error.filename is not None:
        return f"{error.filename} cannot be used: {error.strerror}. Mend that and try again."
    frame = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(frame.filename).name}:{frame.lineno}"
    return f"{error.strerror or error} ({type(error).__name__} in {where}). Please report it."


def _say(sentence: str, status: int) -> int:
    # No message is meant to carry a value; should one do so all the same, it ends here.
    print(f"opskit: {redact(sentence)}", file=sys.stderr)
    return status
