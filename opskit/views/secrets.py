"""The secrets view: one row per version of every secret, declared and observed joined."""

# pandas ships partial types.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, cast, get_args

import msgspec

from opskit.facts.facts import Facts, Part
from opskit.facts.join import SecretRow, State, origin, secret_rows
from opskit.swarm.model import Spec
from opskit.views.columns import Column, Row
from opskit.views.table import About, Table, about, known_time

if TYPE_CHECKING:
    from opskit.views.frame import View

STATES: tuple[State, ...] = get_args(State)

_SECONDS_PER_DAY = 86_400


class SecretsRow(Row, frozen=True, kw_only=True):
    """A row of the secrets view: one (server, stack, secret, version), declared, stored or both."""

    server: Annotated[str, Column("The server, as abra names it.")]
    app: Annotated[str | None, Column("The app that declares it; NA for one of no app.")]
    recipe: Annotated[str | None, Column("The app's recipe.")]
    stack: Annotated[str | None, Column("The stack its name begins with.")]
    secret: Annotated[str, Column("Its name, without stack and version.")]
    version: Annotated[str | None, Column("What its name ends with.")]
    swarm_name: Annotated[str, Column("Its whole name: <stack>_<secret>_<version>.")]
    state: Annotated[
        State | None,
        Column("How it stands, see `opskit.facts.join.State`; NA when its server is unread."),
    ]
    declared: Annotated[bool, Column("Whether an app's files name this version.")]
    observed: Annotated[bool, Column("Whether it is in the swarm.")]
    env_key: Annotated[str | None, Column("The variable of the .env file that gives the version.")]
    env_file: Annotated[str | None, Column("The path of the app's .env file.")]
    env_line: Annotated[
        int | None, Column("The line of that file, from 1; NA when the compose file decides.")
    ]
    used_by: Annotated[
        list[str], Column("Services that use it, by their current spec or by a live task.")
    ]
    created_at: Annotated[datetime | None, Column("When the swarm stored it.")]
    age_days: Annotated[float | None, Column("From then to the time of the snapshot.", unit="days")]
    generate: Annotated[bool | None, Column("Whether opskit and abra may generate a value.")]
    length: Annotated[
        int | None, Column("The length that .env asks for, if any.", unit="characters")
    ]
    charset: Annotated[str | None, Column("The characters that .env asks for, if any.")]
    driver: Annotated[
        str | None,
        Column("The plugin its value comes from; of a missing version, that of the one before."),
    ]
    templating: Annotated[
        str | None,
        Column("What renders it as a template; of a missing version, that of the one before."),
    ]
    in_pass: Annotated[
        bool | None, Column("Whether the password store has it; NA when not looked up.")
    ]
    secret_id: Annotated[str | None, Column("The swarm's id of it.")]
    labels: Annotated[dict[str, str], Column("Its labels in the swarm.")]


def _rows(part: Part) -> Iterator[SecretsRow]:
    """Make a server's rows in the order of app, secret and version, those of no app last."""
    found = secret_rows(part.apps, part.seen, part.around)
    versions: defaultdict[tuple[str, str], list[SecretRow]] = defaultdict(list)
    for row in found:
        versions[row.stack, row.secret].append(row)
    for row in sorted(found, key=_place):
        app, declared, stored = row.app, row.declared, row.stored
        like = stored or origin(versions[row.stack, row.secret])
        spec = like.spec if like else Spec()
        yield SecretsRow(
            server=part.server,
            app=app.name if app else None,
            recipe=app.recipe if app else None,
            stack=row.stack or None,
            secret=row.secret,
            version=row.version or None,
            swarm_name=row.swarm_name,
            state=row.state,
            declared=declared is not None,
            observed=stored is not None,
            env_key=(declared.env_key or None) if declared else None,
            env_file=app.env_file if app else None,
            env_line=(declared.env_line or None) if declared else None,
            used_by=row.used_by,
            created_at=stored.created_at if stored else None,
            age_days=None,  # see `completed`
            generate=declared.generate if declared else None,
            length=declared.length if declared else None,
            charset=(declared.charset or None) if declared else None,
            driver=spec.driver.name if spec.driver else None,
            templating=(spec.templating.name or None) if spec.templating else None,
            in_pass=None,  # see `completed`
            secret_id=stored.id if stored else None,
            labels=(stored.spec.labels or {}) if stored else {},
        )


def completed(view: View, taken_at: datetime, in_pass: frozenset[str] | None) -> View:
    """Return the view with what more than one server's part tells: ages, and what is in `pass`.

    Parameters
    ----------
    view
        The secrets view as derived.
    taken_at
        The time of the snapshot.
    in_pass
        Keys ``server/app/secret`` found in the password store; ``None`` when not looked up.
    """
    # Whoever has a view has loaded it.
    import pandas as pd

    # In microseconds any two times have a difference.
    age = pd.Timestamp(taken_at).as_unit("us") - view["created_at"].astype("datetime64[us, UTC]")
    view["age_days"] = age.dt.total_seconds() / _SECONDS_PER_DAY
    if in_pass is not None:
        keys = zip(view["server"], view["app"], view["secret"], strict=True)
        found = ["/".join(map(str, key)) in in_pass for key in keys]
        view["in_pass"] = pd.array(found, dtype="boolean")
    return view


def _completed(row: Row, facts: Facts, in_pass: frozenset[str] | None) -> SecretsRow:
    """Return a row with what `completed` adds to all."""
    row = cast("SecretsRow", row)
    made = known_time(row.created_at)
    age = (facts.taken_at - made).total_seconds() if made else None
    key = f"{row.server}/{row.app}/{row.secret}"
    return msgspec.structs.replace(
        row,
        age_days=None if age is None else age / _SECONDS_PER_DAY,
        in_pass=None if in_pass is None else key in in_pass,
    )


def _about(facts: Facts, says: Callable[[str], bool]) -> About:
    # Few fleets have any.
    sources = (name for name in ("driver", "templating") if says(name))
    return about(
        facts, "secrets", "server", "app", "secret", "version", "state", "used_by", "age_days",
        *sources, key="swarm_name", goes=("used_by", "server", "age_days", "templating", "driver"),
    )  # fmt: skip


SECRETS = Table(row=SecretsRow, rows=_rows, about=_about, completed=_completed)
"""The secrets view: one `SecretsRow` per version, declared or observed; to be `completed`."""


def _place(row: SecretRow) -> tuple[bool, str, str, list[tuple[int, str]]]:
    """Return where a row stands among its server's: v9 before v10."""
    app = row.app
    return app is None, app.name if app else "", row.secret, _parts(row.version)


@lru_cache(maxsize=1024)
def _parts(version: str) -> list[tuple[int, str]]:
    # Few fleets have many versions, and each has rows by the thousand.
    parts = re.findall(r"\d+|\D+", version)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
