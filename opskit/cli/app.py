"""The command tree, and how errors leave it: one sentence on stderr and an exit status."""

from __future__ import annotations

import sys

import typer

from opskit.cli import apps, change, demo, lab, notebooks, read, runs
from opskit.errors import InputError, MissingToolError, OpskitError
from opskit.secrets.redact import redact

FINE, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130

app = typer.Typer(
    name="opskit",
    help="See and safely change many small Docker Swarm servers.",
    no_args_is_help=True,
    add_completion=False,
    # A traceback with locals could show a secret.
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
read.add_to(app)
change.add_to(app)
apps.add_to(app)
runs.add_to(app)
notebooks.add_to(app)
lab.add_to(app)
demo.add_to(app)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line.

    Exit status: 0 fine, 1 findings or a step failed, 2 bad usage or input, 130 interrupted.
    """
    sys.exit(run(arguments))


def run(arguments: list[str] | None = None) -> int:
    """Run the command line and give its exit status."""
    try:
        app(arguments)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else FINE
    except (InputError, MissingToolError) as error:
        return _say(str(error), BAD_INPUT)
    except OpskitError as error:
        return _say(str(error), FAILED)
    except KeyboardInterrupt:
        return _say("interrupted.", INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output has gone, as in `opskit secrets | head`.
        sys.stdout = None
        return FINE
    except OSError as error:
        # Whatever opskit reads or writes itself says more; this is a full or broken stdout.
        sys.stdout = None
        return _say(f"the output cannot be written: {error.strerror}.", FAILED)
    return FINE


def _say(sentence: str, status: int) -> int:
    # No message is meant to carry a value; should one do so all the same, it ends here.
    print(f"opskit: {redact(sentence)}", file=sys.stderr)
    return status
