"""``opskit app``: whole apps, as abra's ``app`` commands handle them."""

from __future__ import annotations

import time
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from opskit.cli import complete, page
from opskit.cli.change import carry_out, make_options, open_fleet
from opskit.cli.config import config
from opskit.cli.once import Once, Show
from opskit.cli.options import App, Commit, DryRun, NoHook, Pass, Stable, Timeout, Yes, one_of
from opskit.cli.read import (
    ColumnsOption,
    DeadlineOption,
    Format,
    FormatOption,
    ServerOption,
    WhereOption,
    WideOption,
    narrow,
    show,
)
from opskit.errors import InputError
from opskit.kinds.modes import WHOLE

if TYPE_CHECKING:
    from opskit.views.frame import View

_FOLLOW_S = 1.0
_MANY = 1000


WithOption = Annotated[
    str | None,
    one_of(WHOLE, "--with", help="What deploys it; abra where it is installed."),
]
Services = Annotated[
    list[str] | None, typer.Argument(help="Services, named without the stack; else every one.")
]


def add_to(app: typer.Typer) -> None:
    """Add the commands to the tree."""
    tree = typer.Typer(no_args_is_help=True, help="List, deploy, restart and take down apps.")
    for command in (ls, new, config, ps, logs, deploy, upgrade, undeploy, restart):
        tree.command()(command)
    tree.command("show")(page.show)
    app.add_typer(tree, name="app")


def ls(
    status: Annotated[
        bool, typer.Option("--status", "-S", help="Ask the servers what runs, in which version.")
    ] = False,
    format: FormatOption = Format.table,  # noqa: A002 (the option's name)
    server: ServerOption = None,
    where: WhereOption = None,
    wide: WideOption = False,
    columns: ColumnsOption = None,
    deadline: DeadlineOption = None,
) -> None:
    """List apps; with -S what runs of each, its version and the upgrades there are."""
    show(
        narrow(open_fleet(server or None, deadline).apps(status=status), where, None),
        format,
        wide=wide,
        columns=columns,
    )


def new(
    recipe: Annotated[str, typer.Argument(help="RECIPE, or RECIPE:VERSION; else the latest.")],
    server: Annotated[
        str,
        typer.Option(
            "--server", "-s", help="The server it is to run on.", autocompletion=complete.servers
        ),
    ],
    domain: Annotated[str, typer.Option("--domain", help="Its domain, which names it too.")],
    secrets: Annotated[
        bool, typer.Option("--secrets", help="Generate its secrets, after another question.")
    ] = False,
    use_pass: Pass = False,
    show_values: Show = False,
    chaos: Annotated[
        bool, typer.Option("--chaos", "-C", help="Pin no version: the recipe as it is on disk.")
    ] = False,
    fetch: Annotated[
        bool, typer.Option("--fetch", help="Clone the recipe when it is not on disk.")
    ] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Make a new app: its .env from the recipe's sample, and its secrets when asked."""
    if (use_pass or show_values) and not secrets:
        raise InputError(
            f"{'--pass' if use_pass else '--show'} is about the secrets, and none is to be "
            "generated.",
            remedy="Add --secrets.",
        )
    once = Once() if show_values else None
    fleet = open_fleet()
    name, _, version = recipe.partition(":") if "://" not in recipe else (recipe, "", "")
    if fetch and not dry_run and fleet.fetch_recipe(name):
        print(f"cloned {name}")
    pinned = "" if chaos else version or None
    plan = fleet.plan_new(name, server=server, domain=domain, version=pinned)
    carry_out(plan, dry_run=dry_run, yes=yes)
    if dry_run:
        return
    made = fleet.app(f"{server}/{domain}")
    # With its server, as another may have an app of that name.
    shown = quote(f"{server}/{domain}")
    print(f"wrote {made.env_file}\nlook it over: opskit app config {shown}")
    if secrets and any(secret.generate for secret in made.secrets):
        options = make_options(use_pass=use_pass)
        making = fleet.plan_generate(f"{server}/{domain}", None, options)
        carry_out(making, dry_run=False, yes=yes, once=once)
    left = [secret.name for secret in made.secrets if not (secrets and secret.generate)]
    if left:
        print(f"still to come: {', '.join(left)}   (opskit secret generate|insert {shown} …)")


def ps(
    app: App,
    past: Annotated[bool, typer.Option("--past", help="Also tasks that are over.")] = False,
    format: FormatOption = Format.table,  # noqa: A002
    where: WhereOption = None,
    wide: WideOption = False,
    columns: ColumnsOption = None,
    deadline: DeadlineOption = None,
) -> None:
    """List the tasks of an app."""
    show(
        narrow(open_fleet(deadline=deadline).ps(app, past=past), where, None),
        format,
        wide=wide,
        columns=columns,
    )


def logs(
    app: App,
    services: Services = None,
    tail: Annotated[int, typer.Option(min=1, help="So many lines of each service.")] = 100,
    since: Annotated[str, typer.Option(metavar="TIME", help="Only later lines (ISO 8601).")] = "",
    follow: Annotated[bool, typer.Option("--follow", help="Go on with what comes.")] = False,
    format: FormatOption = Format.table,  # noqa: A002
    deadline: DeadlineOption = None,
) -> None:
    """Print what the services of an app wrote, oldest line first."""
    fleet = open_fleet(deadline=deadline)
    found = fleet.app(app)
    view = fleet.logs(found, services, tail=tail, since=since)
    if format is not Format.table:
        show(view, format)
        return
    last = _print(view)
    while follow:
        time.sleep(_FOLLOW_S)
        view = fleet.logs(found, services, tail=_MANY, since=last or since)
        last = _print(view.keep(view["time"] > last) if last else view) or last


def deploy(
    app: App,
    version: Annotated[str, typer.Argument(help="Pin this release or commit first.")] = "",
    with_: WithOption = None,
    timeout: Timeout = 300.0,
    stable: Stable = 5.0,
    commit: Commit = False,
    no_hook: NoHook = False,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Deploy the version TYPE pins, else the recipe as it is on disk, and wait until it runs."""
    options = make_options(
        deploy=with_, timeout=timeout, stable=stable, commit=commit, no_hook=no_hook
    )
    plan = open_fleet().plan_deploy(app, options, version=version)
    carry_out(plan, dry_run=dry_run, yes=yes)


def upgrade(
    app: App,
    with_: WithOption = None,
    timeout: Timeout = 300.0,
    stable: Stable = 5.0,
    commit: Commit = False,
    no_hook: NoHook = False,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Pin and deploy the latest release; see which there are: opskit app ls -S."""
    options = make_options(
        deploy=with_, timeout=timeout, stable=stable, commit=commit, no_hook=no_hook
    )
    carry_out(open_fleet().plan_upgrade(app, options), dry_run=dry_run, yes=yes)


def undeploy(app: App, timeout: Timeout = 300.0, dry_run: DryRun = False, yes: Yes = False) -> None:
    """Take an app down; its volumes and secrets stay."""
    plan = open_fleet().plan_undeploy(app, make_options(timeout=timeout))
    carry_out(plan, dry_run=dry_run, yes=yes)


def restart(
    app: App,
    services: Services = None,
    timeout: Timeout = 300.0,
    stable: Stable = 5.0,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Give an app new tasks with the specs they have."""
    options = make_options(timeout=timeout, stable=stable)
    plan = open_fleet().plan_restart(app, services or None, options)
    carry_out(plan, dry_run=dry_run, yes=yes)


def _print(view: View) -> str:
    """Print the lines, and give the time of the last one."""
    last = ""
    for line in view.records():
        print(f"{line.time:%Y-%m-%d %H:%M:%S} {line.service} | {line.line}", flush=True)
        last = line.time.isoformat()
    return last
