"""Options that several commands take, and a value that comes in by none of them."""

from __future__ import annotations

import sys
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from opskit.cli import complete
from opskit.errors import InputError
from opskit.kinds.hooks import hooks_in_words
from opskit.kinds.modes import MODES
from opskit.secrets.generate import CHARSETS
from opskit.secrets.generate import OFFERED as GENERATORS

if TYPE_CHECKING:
    from opskit.secrets.value import Secret


def one_of(names: Collection[str], *flags: str, help: str) -> Any:  # noqa: A002 (typer's word)
    """Return an option that takes one of these names, which the help lists."""

    def parse(text: str) -> str:
        if text not in names:
            raise typer.BadParameter(f"{text!r} is none of {', '.join(names)}.")
        return text

    return typer.Option(
        *flags,
        parser=parse,
        metavar=f"[{'|'.join(names)}]",
        help=help,
    )


App = Annotated[
    str, typer.Argument(help="The app's name, or SERVER/APP.", autocompletion=complete.apps)
]
OneSecret = Annotated[
    str, typer.Argument(help="The secret's name.", autocompletion=complete.secrets)
]
SomeSecrets = Annotated[
    list[str] | None,
    typer.Argument(help="Names; with --all, every one.", autocompletion=complete.secrets),
]
All = Annotated[bool, typer.Option("--all", help="Every secret of the app.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the calls and change nothing.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Pass = Annotated[bool, typer.Option("--pass", help="Keep the password store in step.")]
Length = Annotated[int | None, typer.Option(min=1, help="Characters, or words.")]
Charset = Annotated[str, typer.Option(help=f"{', '.join(CHARSETS)}; comma-joined.")]
GeneratorOption = Annotated[
    str | None, one_of(GENERATORS, "--generator", help="What makes the value.")
]
Anyway = Annotated[
    bool,
    typer.Option(
        "--anyway",
        help="Make up a value though the recipe says generate=false; with --yes one that can be "
        "guessed, too.",
    ),
]
Command = Annotated[str, typer.Option("--command", help="A program that prints the value.")]
DeployOption = Annotated[
    str | None, one_of(MODES, "--deploy", help="How services get the new version.")
]
Timeout = Annotated[float, typer.Option(min=1, help="Seconds for services to converge.")]
Stable = Annotated[float, typer.Option(min=0, help="Seconds they must stay converged.")]
Commit = Annotated[bool, typer.Option("--commit", help="Commit the .env in its git checkout.")]
Hook = Annotated[
    str,
    typer.Option(
        "--hook",
        metavar="KIND[:SERVICE]",
        help=f"Tell the database: {hooks_in_words()}.",
    ),
]
NoHook = Annotated[
    bool, typer.Option("--no-hook", help="Change a database password's file all the same.")
]
Skip = Annotated[bool, typer.Option("--skip", help="Leave out what cannot be; the plan says what.")]
KeepFailed = Annotated[
    bool, typer.Option("--keep-failed", help="Keep a new version that failed, and label it so.")
]
Parallel = Annotated[int | None, typer.Option("--max-parallel", min=1, help="Stacks at once.")]
KeepGoing = Annotated[bool, typer.Option("--keep-going", help="Go on after a stack failed.")]


FileOption = Annotated[Path | None, typer.Option("--file", help="Read the value here.")]
KeepNewline = Annotated[
    bool, typer.Option("--keep-newline", help="Keep the value's final newline.")
]


def given_value(
    what: str, file: Path | None = None, *, keep_newline: bool = False, asks: bool
) -> Secret:
    """Return a value, never from an argument; `asks` says that an answer is still to come.

    Raises
    ------
    InputError
        It came in where that answer would.
    """
    from opskit.secrets.value import Secret

    if file is not None:
        return Secret.from_file(file, strip_newline=not keep_newline)
    if sys.stdin.isatty():
        return Secret.prompt(f"Value of {what}")
    value = Secret.from_stream(sys.stdin.buffer, strip_newline=not keep_newline)
    if asks:
        raise InputError(
            "the value came in where the answer would.",
            remedy="Say --yes, or give the value with --file.",
        )
    return value
