"""Commands that change secrets: each shows its plan, asks, applies and tells the outcome."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, Unpack

import typer

from opskit.cli import complete
from opskit.cli.once import Once, Show
from opskit.cli.options import (
    All,
    Anyway,
    App,
    Charset,
    Command,
    Commit,
    DeployOption,
    DryRun,
    FileOption,
    GeneratorOption,
    Hook,
    KeepFailed,
    KeepGoing,
    KeepNewline,
    Length,
    NoHook,
    OneSecret,
    Parallel,
    Pass,
    Skip,
    SomeSecrets,
    Stable,
    Timeout,
    Yes,
    given_value,
)
from opskit.cli.read import Format, ServerOption, narrow, show
from opskit.errors import InputError
from opskit.kinds.statuses import STATUSES, Ended

if TYPE_CHECKING:
    from opskit.fleet import Fleet
    from opskit.plan.options import Options
    from opskit.run.options import RunOptions
    from opskit.run.run import Plan, Run


_VERSION = re.compile(r"v?[0-9][A-Za-z0-9.-]*")
"""What looks like the version of a secret."""


def add_to(app: typer.Typer) -> None:
    """Add the changing commands to the tree."""
    secret = typer.Typer(no_args_is_help=True, help="Generate, insert, rotate, remove, prune.")
    secret.command("generate")(generate)
    secret.command("insert", context_settings={"allow_extra_args": True})(insert)
    secret.command("rotate")(rotate_app)
    secret.command("remove")(remove)
    secret.command("prune")(prune)
    app.add_typer(secret, name="secret")
    app.command("rotate")(rotate)


def generate(
    app: App,
    secrets: SomeSecrets = None,
    all_: All = False,
    length: Length = None,
    charset: Charset = "",
    generator: GeneratorOption = None,
    command: Command = "",
    anyway: Anyway = False,
    no_hook: NoHook = False,
    use_pass: Pass = False,
    show_values: Show = False,
    skip: Skip = False,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Create declared versions that are not in the swarm yet."""
    once = Once() if show_values else None
    _check_choice(secrets, all_)
    options = make_options(
        length=length, charset=charset, generator=generator, command=command, no_hook=no_hook,
        use_pass=use_pass, generate_anyway=anyway,
    )  # fmt: skip
    fleet = open_fleet()
    _refuse_version(fleet, app, secrets)
    plan = fleet.plan_generate(app, secrets or None, options, skip=skip)
    carry_out(plan, dry_run=dry_run, yes=yes, anyway=anyway, once=once)


def insert(
    context: typer.Context,
    app: App,
    secret: OneSecret,
    version: Annotated[str, typer.Argument(help="At this version; else the next.")] = "",
    file: FileOption = None,
    keep_newline: KeepNewline = False,
    deploy: DeployOption = None,
    timeout: Timeout = 300.0,
    stable: Stable = 5.0,
    commit: Commit = False,
    hook: Hook = "",
    no_hook: NoHook = False,
    keep_failed: KeepFailed = False,
    use_pass: Pass = False,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Store a given value: from --file, standard input, or a hidden prompt; never an argument."""
    if context.args:
        # Typer would repeat them; abra takes the value there.
        raise InputError(
            "the value is not taken from the arguments: this machine's process list and your "
            "shell's history show those.",
            remedy="Pipe it in, or name a --file; and choose another value.",
        )
    value = given_value(
        f"{app} {secret}", file, keep_newline=keep_newline, asks=not (yes or dry_run)
    )
    options = make_options(
        deploy=deploy, timeout=timeout, stable=stable, commit=commit, hook=hook, no_hook=no_hook,
        keep_failed=keep_failed, use_pass=use_pass,
    )  # fmt: skip
    plan = open_fleet().plan_insert(app, secret, value, version=version, options=options)
    carry_out(plan, dry_run=dry_run, yes=yes)


def rotate_app(
    app: App,
    secrets: SomeSecrets = None,
    all_: All = False,
    length: Length = None,
    charset: Charset = "",
    generator: GeneratorOption = None,
    command: Command = "",
    anyway: Anyway = False,
    deploy: DeployOption = None,
    timeout: Timeout = 300.0,
    stable: Stable = 5.0,
    commit: Commit = False,
    hook: Hook = "",
    no_hook: NoHook = False,
    keep_failed: KeepFailed = False,
    use_pass: Pass = False,
    show_values: Show = False,
    skip: Skip = False,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Give secrets of one app a new, generated version."""
    once = Once() if show_values else None
    fleet = open_fleet()
    names = _chosen(fleet, app, secrets, all_)
    options = make_options(
        length=length, charset=charset, generator=generator, command=command,
        generate_anyway=anyway, deploy=deploy, timeout=timeout, stable=stable, commit=commit,
        hook=hook, no_hook=no_hook, keep_failed=keep_failed, use_pass=use_pass,
    )  # fmt: skip
    plan = fleet.plan_rotate(app, names, options, skip=skip)
    carry_out(plan, dry_run=dry_run, yes=yes, anyway=anyway, once=once)


def rotate(
    where: Annotated[
        str, typer.Option("--where", "-w", metavar="EXPR", help="As of: opskit secrets.")
    ],
    server: ServerOption = None,
    max_parallel: Parallel = None,
    keep_going: KeepGoing = False,
    anyway: Anyway = False,
    deploy: DeployOption = None,
    timeout: Timeout = 300.0,
    stable: Stable = 5.0,
    commit: Commit = False,
    hook: Hook = "",
    no_hook: NoHook = False,
    keep_failed: KeepFailed = False,
    use_pass: Pass = False,
    skip: Skip = False,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Rotate every secret that matches a condition, stacks in parallel."""
    fleet = open_fleet(server)
    # Elsewhere nothing can be rotated.
    with_apps = [one.name for one in fleet.declared().servers if one.apps]
    snap = open_fleet(with_apps).snapshot()
    selected = narrow(snap.secrets, where, server)
    options = make_options(
        generate_anyway=anyway, deploy=deploy, timeout=timeout, stable=stable, commit=commit,
        hook=hook, no_hook=no_hook, keep_failed=keep_failed, use_pass=use_pass,
    )  # fmt: skip
    plan = fleet.plan_rotate(selected, None, options, skip=skip, snapshot=snap)
    carry_out(
        plan, dry_run=dry_run, yes=yes, anyway=anyway, max_parallel=max_parallel,
        keep_going=keep_going,
    )  # fmt: skip


def remove(
    app: App = "",
    secrets: SomeSecrets = None,
    all_: All = False,
    orphans: Annotated[
        bool, typer.Option("--orphans", help="Instead: what no app declares and nothing needs.")
    ] = False,
    where: Annotated[
        str | None, typer.Option("--where", "-w", metavar="EXPR", help="Only orphans that match.")
    ] = None,
    server: ServerOption = None,
    use_pass: Pass = False,
    skip: Skip = False,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Remove secrets that nothing uses, every version of them, or orphans; no way back."""
    if orphans == bool(app) or (orphans and all_):
        raise InputError(
            "say what to remove: an app and its secrets, or --orphans alone.",
            remedy="See them: opskit secrets --where \"state == 'orphan'\"",
        )
    fleet = open_fleet()
    if orphans:
        from opskit.plan.remove import check_store_of_orphans
        from opskit.plan.selection import may_be_orphan

        check_store_of_orphans(use_pass=use_pass)
        snap = fleet.snapshot()
        found = snap.secrets.keep(may_be_orphan(snap.secrets))
        plan = fleet.plan_remove(narrow(found, where, server), snapshot=snap)
        carry_out(plan, dry_run=dry_run, yes=yes)
        return
    if where is not None or server:
        raise InputError("--where and --server choose among orphans.", remedy="Add --orphans.")
    names = _chosen(fleet, app, secrets, all_)
    plan = fleet.plan_remove(app, names, make_options(use_pass=use_pass), skip=skip)
    carry_out(plan, dry_run=dry_run, yes=yes)


def prune(
    app: Annotated[
        str,
        typer.Argument(
            help="Only this app; every app when left out.", autocompletion=complete.apps
        ),
    ] = "",
    secrets: Annotated[
        list[str] | None,
        typer.Argument(help="Only these; all when left out.", autocompletion=complete.secrets),
    ] = None,
    keep: Annotated[int | None, typer.Option(min=0, help="Superseded versions to leave.")] = None,
    use_pass: Pass = False,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Remove superseded versions, keeping the newest one back; there is no way back."""
    options = make_options(use_pass=use_pass)
    plan = open_fleet().plan_prune(app or None, secrets or None, keep=keep, options=options)
    carry_out(plan, dry_run=dry_run, yes=yes)


def tell(run: Run, *, wanted: Ended = "done") -> None:
    """Print how a run ended, and end with status 1 unless all of it ended as wanted."""
    for error in run.errors:
        print(f"opskit: {error}", file=sys.stderr)
    for note in run.notes:
        print(f"note: {note}", file=sys.stderr)
    counted = ", ".join(f"{count} {status}" for status, count in sorted(run.stacks.items()))
    print(f"run {run.id}: {run.status} (stacks: {counted})")
    ways = STATUSES[run.status].commands(run.id, run.ways)
    print(". ".join(filter(None, (f"Look at it: opskit journal {shlex.quote(run.id)}", ways))))
    if run.status != wanted:
        raise typer.Exit(1)


def open_fleet(servers: list[str] | None = None, deadline: float | None = None) -> Fleet:
    """Return the fleet of this operator's abra folder, or some servers of it."""
    from opskit.fleet import Fleet

    return Fleet.from_abra(servers=servers, deadline=deadline)


def make_options(
    *,
    length: int | None = None,
    charset: str = "",
    generator: str | None = None,
    command: str = "",
    deploy: str | None = None,
    **others: Any,
) -> Options:
    """Make the options of a plan from those of a command and the settings."""
    from opskit.plan.options import Options
    from opskit.secrets.generate import Policy

    policy = None
    if command:
        policy = Policy(generator="command", command=_words(command))
    elif generator or length or charset:
        policy = Policy(generator=generator or "characters", length=length, charset=charset)
    if deploy:
        others["deploy"] = deploy
    return Options(policy=policy, **others)


def _words(command: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(command))
    except ValueError as error:
        raise InputError(
            f"--command {command!r} cannot be understood ({error}).",
            remedy="Close its quotes, as in a shell.",
        ) from None


def _chosen(fleet: Fleet, app: str, secrets: list[str] | None, all_: bool) -> list[str]:
    _check_choice(secrets, all_)
    return secrets or [secret.name for secret in fleet.app(app).secrets]


def _refuse_version(fleet: Fleet, app: str, secrets: list[str] | None) -> None:
    """Refuse a version among the names, as abra takes one there: a new one is made by rotating."""
    declared = [secret.name for secret in fleet.app(app).secrets] if secrets else []
    for name, version in pairwise(secrets or ()):
        if name in declared and version not in declared and _VERSION.fullmatch(version):
            raise InputError(
                f"{app} declares no secret called {version!r}: what is generated is the version "
                "that the .env names.",
                remedy="For a new version: opskit secret rotate "
                f"{shlex.quote(app)} {shlex.quote(name)}",
            )


def _check_choice(secrets: list[str] | None, all_: bool) -> None:
    if bool(secrets) == all_:
        raise InputError(
            "say which secrets: some names, or --all.", remedy="See them: opskit secrets"
        )


def agreed(word: str) -> bool:
    """Ask for a yes, or for the word that confirms what cannot simply be undone."""
    if not word:
        return typer.confirm("Apply this plan?")
    if str(typer.prompt(f"Type {word} to confirm")).strip() == word:
        return True
    print(f"that is not {word}: nothing was changed.", file=sys.stderr)
    return False


def carry_out(
    plan: Plan,
    *,
    dry_run: bool,
    yes: bool,
    anyway: bool = False,
    once: Once | None = None,
    ask: Callable[[str], bool] = agreed,
    **options: Unpack[RunOptions],
) -> None:
    """Show a plan and its consequences, ask, apply it and tell how the run ended.

    A `yes` does not cover a value that can be guessed, unless that is to be made `anyway`.

    What was made is shown `once`, also of a run that failed elsewhere: nobody else knows it.
    """
    show(plan.changes, Format.table)
    print(*plan.data.consequences.sentences, sep="\n")
    if dry_run:
        show(plan.calls, Format.table)
        return
    told = plan.data.consequences
    if yes and told.guessable and not anyway and not sys.stdin.isatty():
        raise InputError(
            "--yes does not cover a value that can be guessed, so none was made.",
            remedy="Make it longer, by --length or the length= behind its version in the .env; or "
            "say --anyway as well.",
        )
    if not (yes and (anyway or not told.guessable)) and not ask(told.confirm):
        raise typer.Exit(1)
    from opskit.cli.live import shown_steps

    made = {"on_made": once.take} if once else {}
    try:
        with shown_steps(len(plan.data.units)) as live:
            run = plan.apply(confirm=told.confirm, **made, **{**options, "on_progress": live})
    finally:
        if once:
            once.show()
    tell(run)
