"""A check-up of all that opskit needs: this machine, and every server at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial

from opskit.arguments import check_number, names_in
from opskit.doctor import files, programs, server
from opskit.doctor.rows import CheckupRow, note, told
from opskit.errors import InputError, OpskitError
from opskit.progress import default_progress
from opskit.swarm.observe import READERS
from opskit.views.frame import View
from opskit.views.table import About

_QUICK_S = 10.0
"""For a program of this machine that only tells something."""


def examine(*, servers: Iterable[str] | None = None, deadline: float | None = None) -> View:
    """Look at all that opskit needs, and change nothing.

    Parameters
    ----------
    servers
        Only these servers; all that abra's folder declares when ``None``. Where there is no such
        folder yet, any name of a Docker context.
    deadline
        Seconds for each server, whatever hangs; by default what the settings say.

    Returns
    -------
    View
        One `CheckupRow` for each thing; a server's end with what is in the way.

    Raises
    ------
    InputError
        `servers` names one that abra's folder does not declare.
    """
    if deadline is not None:
        check_number("deadline", deadline, above=0)
    settings, of_settings = files.settings()
    tree = files.tree(settings.recipe_url)
    names = _chosen(tree, servers)
    seconds = settings.deadline if deadline is None else deadline
    quick = min(seconds, _QUICK_S)
    looks = [
        _Look("opskit", programs.packages),
        _Look("settings", lambda: [of_settings]),
        _Look("state folder", lambda: [files.state(quick)]),
        _Look("abra's folder", lambda: tree.rows),
        _Look("git", lambda: [programs.git(quick)]),
        _Look("docker", lambda: [programs.docker(quick)]),
        _Look("ssh", lambda: [programs.ssh(quick, keeps=settings.ssh_keep > 0)]),
    ]
    if of_settings.state == "well":
        looks.append(_Look("password store", lambda: [programs.password_store(quick)]))
        looks += [_Look("server", partial(server.look_at, name, seconds), name) for name in names]
    elif names:
        unseen = note("servers", "not looked at: the settings come first.", "opskit doctor")
        looks.append(_Look("servers", lambda: [unseen]))
    rows = [row for found in _all_at_once(looks) for row in found]
    lacking = sum(row.state == "mend" for row in rows)
    remark = f"{lacking} to mend" if lacking else "all is well"
    return View.from_rows(CheckupRow, rows, About(noun="checks", remark=remark))


def _chosen(tree: files.Tree, servers: Iterable[str] | None) -> list[str]:
    wanted = None if servers is None else names_in("servers", servers)
    if tree.declared is None:
        return list(wanted or ())
    known = [one.name for one in tree.declared.servers]
    for name in wanted or ():
        if name not in known:
            raise InputError(
                f"there is no server called {name!r} in {tree.declared.root}.",
                remedy=f"Choose from: {', '.join(known) or 'none is declared'}",
            )
    return known if wanted is None else list(wanted)


@dataclass(frozen=True, slots=True)
class _Look:
    """A part of the check-up: what is looked at, how, and at which server."""

    check: str
    rows: Callable[[], Iterable[CheckupRow]]
    server: str | None = None

    def __call__(self) -> list[CheckupRow]:
        try:
            return list(self.rows())
        except (OpskitError, OSError) as error:
            # What nobody thought of is in the way, too.
            return [told(self.check, error, server=self.server)]


def _all_at_once(looks: list[_Look]) -> list[list[CheckupRow]]:
    with (
        ThreadPoolExecutor(min(READERS, len(looks)), "opskit-doctor") as threads,
        default_progress("Looking", len(looks)) as shown,
    ):
        waiting = {threads.submit(look): look for look in looks}
        for future in as_completed(waiting):
            shown.advance(waiting[future].server or waiting[future].check)
    return [future.result() for future in waiting]
