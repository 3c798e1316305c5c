"""Planning an app that is not there yet; only files are read."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from opskit.abra.model import Declared
from opskit.abra.newapp import new_app
from opskit.errors import InputError
from opskit.operations.plan import Change, PlanData, Unit
from opskit.operations.steps import CreateEnv
from opskit.operations.steps.env import digest


def plan_new(
    declared: Declared, root: Path, *, server: str, domain: str, recipe: str, version: str | None
) -> PlanData:
    """Plan a new app's ``.env``.

    Raises
    ------
    InputError
        It exists, another app has its stack name, or something about it will not do.
    """
    made = new_app(root, server, domain, recipe, version)
    if made.path.exists():
        raise InputError(
            "this app exists already, and nothing is overwritten.",
            path=made.path,
            remedy=f"Edit it: opskit app config {domain}",
        )
    for app in (app for one in declared.servers if one.name == server for app in one.apps):
        if app.stack == made.stack:
            raise InputError(
                f"{app.name} has the stack name {made.stack} on {server} already.",
                path=Path(app.env_file),
                remedy="Choose a domain that differs in its first 45 characters.",
            )
    step = CreateEnv(
        path=str(made.path),
        root=str(root),
        server=server,
        domain=domain,
        recipe=recipe,
        version=made.version,
        after=digest(made.content),
    )
    change = Change(
        secret="",
        to_version=made.version,
        note=f"a new app of the recipe {recipe}",
        undone_by="removing its .env, unless it was edited",
    )
    unit = Unit(server=server, app=domain, stack=made.stack, changes=(change,), steps=(step,))
    return PlanData(kind="new", made_at=datetime.now(UTC), units=(unit,))
