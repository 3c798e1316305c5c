"""``opskit fix``: the remedies of findings, planned, shown, asked for and applied."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from opskit.cli.blocks import print_blocks
from opskit.cli.change import carry_out, open_fleet
from opskit.cli.options import (
    DryRun,
    FileOption,
    KeepGoing,
    KeepNewline,
    Parallel,
    Pass,
    Yes,
    given_value,
)
from opskit.errors import InputError, OpskitError

if TYPE_CHECKING:
    from opskit.mending import Mend
    from opskit.secrets.value import Secret
    from opskit.views.frame import View


def add_to(app: typer.Typer) -> None:
    """Add the command to the tree."""
    app.command("fix")(fix)


def fix(
    keys: Annotated[list[str], typer.Argument(metavar="KEY...", help="As opskit audit shows.")],
    file: FileOption = None,
    keep_newline: KeepNewline = False,
    use_pass: Pass = False,
    max_parallel: Parallel = None,
    keep_going: KeepGoing = False,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Mend findings of the audit, by their keys: plan what mends them, ask, and apply it."""
    from dataclasses import replace

    from opskit.fleet import plan_mend
    from opskit.mending import Mend, named, rounds
    from opskit.run.run import Plan

    fleet = open_fleet()
    snap = fleet.snapshot(with_pass=use_pass)
    mends: list[Mend] = []
    findings = named(snap.audit(acknowledged=True), keys)
    for one in findings.records():
        if one.plan:
            mend = Mend.of(one)
            mends.append(replace(mend, use_pass=use_pass or mend.use_pass))
        else:
            print(f"{one.key} is for a person to mend. {one.remedy}", file=sys.stderr)
    if not mends:
        raise typer.Exit(1)
    given = [one for one in dict.fromkeys(mends) if one.plan == "insert"]
    if len(given) > 1 and (file is not None or not sys.stdin.isatty()):
        raise InputError(
            f"{len(given)} values are to be given, and one can come in.",
            remedy="Mend them one after the other.",
        )
    if file is not None and not given:
        raise InputError(
            "no value is to be given, and --file gives one.", remedy="Leave out --file."
        )
    values = {one: _value(one, file, keep_newline, asks=not (yes or dry_run)) for one in given}
    was_refused = False
    for number, together in enumerate(rounds(mends)):
        # What a round changed, the next one has to see.
        seen = None if number else snap
        try:
            plans = [plan_mend(fleet, one, values.get(one), snapshot=seen) for one in together]
            carry_out(
                Plan.join(plans),
                dry_run=dry_run,
                yes=yes,
                max_parallel=max_parallel,
                keep_going=keep_going,
            )
        except InputError as error:
            if dry_run or not number:
                raise
            # What was mended before may have mended this one too.
            print(f"opskit: {error}", file=sys.stderr)
            was_refused = True
    left = len(findings) - len(mends)
    if was_refused:
        now = fleet.snapshot(with_pass=use_pass).audit(acknowledged=True)
        left = len(findings.keep(findings["key"].isin(now["key"])))
    if left:
        raise typer.Exit(1)


def _value(one: Mend, file: FileOption, keep_newline: bool, *, asks: bool) -> Secret:
    return given_value(f"{one.app} {one.secrets[0]}", file, keep_newline=keep_newline, asks=asks)


class _SkippedError(OpskitError):
    """Leave this one as it is."""


class _QuitError(OpskitError):
    """Leave this one and all others as they are."""


def go_through(findings: View) -> bool:
    """Plan what mends each finding that can be, show it, ask, and apply it.

    Returns
    -------
    bool
        Whether anything was applied, so that findings may have gone.
    """
    from rich.console import Console

    from opskit.audit.blocks import blocks
    from opskit.mending import Mend, named, rounds

    console = Console()
    told = [one for one in blocks(findings) if one.fix]
    worse = len(findings.keep(findings["severity"] != "info"))
    left = worse - sum(len(one.keys) for one in told)
    applied = failed = False
    try:
        for number, one in enumerate(told, 1):
            console.print(f"\n{number} of {len(told)}", style="bold", highlight=False)
            print_blocks([one], console)
            mends = map(Mend.of, named(findings, one.fix).records())
            for mend in (mend for together in rounds(mends) for mend in together):
                well = _went_well(mend)
                applied, failed = applied or well is True, failed or well is False
    except _QuitError:
        print("the others are left as they are.")
    if left:
        print(f"{left} {'finding is' if left == 1 else 'findings are'} for a person: opskit audit")
    if failed:
        raise typer.Exit(1)
    return applied


def _went_well(mend: Mend) -> bool | None:
    """Carry one remedy out if that is wanted, and return how; nothing where none was applied."""
    from opskit.fleet import plan_mend

    try:
        value = None
        if mend.plan == "insert":
            _wanted("", f"Insert a value of {mend.secrets[0]}?")
            value = given_value(f"{mend.app} {mend.secrets[0]}", asks=True)
        # Read anew: what was mended before may have mended this one too.
        plan = plan_mend(open_fleet(), mend, value)
        carry_out(plan, dry_run=False, yes=False, ask=_wanted)
    except _SkippedError:
        return None
    except InputError as error:
        print(f"opskit: {error}", file=sys.stderr)
        return None
    except typer.Exit as ended:
        return not ended.exit_code
    return True


def _wanted(word: str, question: str = "Apply this plan?") -> bool:
    """Ask of one among several."""
    answers = f"Type {word} to apply it [skip/quit]" if word else f"{question} [y/n/skip/quit]"
    while True:
        answer = str(typer.prompt(answers)).strip()
        if answer == (word or answer) and answer.lower() in (word.lower(), "y", "yes"):
            return True
        if answer.lower() in ("n", "no", "s", "skip"):
            raise _SkippedError("skipped.")
        if answer.lower() in ("q", "quit"):
            raise _QuitError("quit.")
