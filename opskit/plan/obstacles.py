"""What keeps some of a selection from being changed: all of it is named at once, by why."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from opskit.errors import InputError

Row = tuple[str, str, str]
"""Server, app and secret."""


class ObstacleError(InputError):
    """One secret cannot be changed.

    Parameters
    ----------
    what, remedy
        As `InputError` has them, about this one.
    why
        The same for every secret with this obstacle.
    """

    def __init__(self, what: str, *, why: str, remedy: str = "") -> None:
        super().__init__(what, remedy=remedy)
        self.why = why


@dataclass(frozen=True, slots=True, kw_only=True)
class Obstacle:
    """A row of a selection that cannot be changed; `yields` says that it never refuses others."""

    row: Row
    error: InputError
    yields: bool = False

    @property
    def name(self) -> str:
        """The app and the secret, or what there is of them."""
        server, app, secret = self.row
        return f"{app or server} {secret}"

    @property
    def why(self) -> str:
        """Why it cannot be changed, alike for all of one kind."""
        if isinstance(self.error, ObstacleError):
            return self.error.why
        return self.error.what.rstrip(".")


class ObstaclesError(InputError):
    """Some of a selection cannot be changed; says which, by why.

    Parameters
    ----------
    verb
        What was to become of them, such as ``rotated``.
    obstacles
        All of them.
    total
        So many rows were selected.
    """

    def __init__(self, verb: str, obstacles: Sequence[Obstacle], total: int) -> None:
        self.obstacles, self.leaves_some = tuple(obstacles), len(obstacles) < total
        out = "Leave out what cannot be: --skip, or skip=True in Python."
        if len(obstacles) == 1:
            error = obstacles[0].error
            super().__init__(error.what, path=error.path, line=error.line,
                             remedy=f"{error.remedy} {out}".strip())  # fmt: skip
            return
        groups: defaultdict[str, list[str]] = defaultdict(list)
        for one in obstacles:
            groups[one.why].append(one.name)
        lines = [f"{len(obstacles)} of {total} secrets cannot be {verb}:"]
        lines += [f"- {', '.join(names)}: {why}." for why, names in groups.items()]
        ways = [out] if self.leaves_some else []
        super().__init__("\n".join(lines), remedy="\n".join(
            ["", *ways, "Asked for alone, each says what can be done."]).rstrip())  # fmt: skip


@dataclass(slots=True)
class Bulk:
    """Collects what cannot be changed of many rows, while the others are planned.

    Parameters
    ----------
    verb
        What is to become of the rows, such as ``rotated``.
    rows
        All of them.
    yields
        Whether a row that cannot be changed is left alone without being asked to.
    """

    verb: str
    rows: Sequence[Row]
    yields: Callable[[Row], bool] = lambda _row: False
    obstacles: list[Obstacle] = field(default_factory=list[Obstacle])

    @contextmanager
    def each(self, row: Row) -> Generator[None]:
        """Plan something for a row, and collect why that cannot be."""
        try:
            yield
        except InputError as error:
            self.add(row, error)

    def add(self, row: Row, error: InputError) -> None:
        """Collect why a row cannot be changed."""
        self.obstacles.append(Obstacle(row=row, error=error, yields=self.yields(row)))

    def left_alone(self, *, skip: bool, may_be_empty: bool = False) -> tuple[str, ...]:
        """Return what is left alone, and why; all of it only where the plan `may_be_empty`.

        Raises
        ------
        InputError
            Some row cannot be changed and is not to be left out, or none can be changed.
        """
        refused = [one for one in self.obstacles if not (skip or one.yields)]
        if len(self.obstacles) == len(self.rows) and not (skip and may_be_empty):
            refused = self.obstacles
        if refused and len(self.rows) == 1:
            raise refused[0].error
        if refused:
            raise ObstaclesError(self.verb, refused, len(self.rows))
        return tuple(f"{one.name} on {one.row[0]}: {one.why}" for one in self.obstacles)
