"""How two operators share apps that each has a clone of: pull before, push after.

Git cannot tell one that the other is about to change a file. So they tell each other: an app is in
one pair of hands at a time, and stays there until what was begun is ended and pushed.
"""

from __future__ import annotations

from collections import Counter
from threading import Lock

from tests.chaos.recipes import git
from tests.chaos.world import CLONED, App, Operator, World

_UNPUSHED = (
    ("status", "--porcelain"),
    ("diff", "--stat", "@{upstream}"),
    # A change and its undoing are none together, and two for whoever rebases them.
    ("log", "--format=%h", "@{upstream}.."),
)


class ClonesError(Exception):
    """Both operators changed one line, which holding an app in hands is to prevent."""


class Clones:
    """Who has which app in hands, and how their clones come together."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._hands: dict[str, str] = {}
        self._at_work = Counter[str]()
        """How many of its holder's terminals work on an app."""
        self._guard = Lock()
        self._git = {name: Lock() for name in world.operators}

    def take(self, operator: Operator, app: App) -> bool:
        """Take an app in hands, with what the other pushed; tell whether it was to be had."""
        if app.server not in CLONED:
            return True
        with self._guard:
            if self._hands.setdefault(app.name, operator.name) != operator.name:
                return False
            self._at_work[app.name] += 1
        if self._is_up_to_date(operator, app):
            return True
        with self._guard:
            self._at_work[app.name] -= 1
        return False

    def _is_up_to_date(self, operator: Operator, app: App) -> bool:
        folder = operator.servers(app.server)
        with self._git[operator.name]:
            if git(folder, "fetch", "-q", check=False).returncode:
                # As when the disk is full: what the other pushed is not known then.
                return False
            git(folder, "merge", "-q", "--ff-only", check=False)
            here, there = (
                git(folder, "rev-parse", f"{commit}:{app.name}.env").stdout
                for commit in ("HEAD", "@{upstream}")
            )
        return here == there

    def leave(self, operator: Operator, app: App, *, has_ended: bool) -> None:
        """Push what is committed, and let the other have the app when nothing goes on there.

        What has not ended stays at work on it until all is brought together.
        """
        if app.server not in CLONED or not has_ended:
            return
        with self._guard:
            self._at_work[app.name] -= 1
        folder = operator.servers(app.server)
        with self._git[operator.name]:
            git(folder, "push", "-q", check=False)
            # Whatever cannot be told, as when the disk is full, is not pushed.
            asked = [
                git(folder, *question, "--", f"{app.name}.env", check=False)
                for question in _UNPUSHED
            ]
        with self._guard:
            if (
                not any(one.stdout or one.returncode for one in asked)
                and not self._at_work[app.name]
            ):
                self._hands.pop(app.name, None)

    def bring_together(self) -> None:
        """Commit, pull and push all there is; afterwards both clones are the same."""
        for server in CLONED:
            for operator in (*self._world.operators.values(), *self._world.operators.values()):
                folder = operator.servers(server)
                (folder.resolve() / ".git" / "index.lock").unlink(missing_ok=True)
                git(folder, "add", "--all", "*.env")
                git(folder, "commit", "-q", "-m", "By hand", check=False)
                if git(folder, "pull", "-q", "--rebase", check=False).returncode:
                    raise ClonesError(git(folder, "diff").stdout)
                git(folder, "push", "-q")
        self._hands.clear()
        self._at_work.clear()
