"""Steps that change an app's ``.env`` file: declared versions, the pinned recipe, commits."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from shlex import quote

import msgspec

from opskit.abra.edit import empty_value, set_name, set_value, unset_value
from opskit.abra.env import parse_env
from opskit.abra.names import nameable, recipe_key
from opskit.errors import InputError, StalePlanError
from opskit.steps.base import CannotUndoError, Detail, Step, StepContext
from opskit.steps.envfile import commit_env, replace_env
from opskit.steps.parts import Part


class Declaration(msgspec.Struct, frozen=True, kw_only=True):
    """One version variable and its value; `old` is ``None`` when its line is to be added.

    It is empty when the line is there and empty.
    """

    key: str
    old: str | None
    new: str


class Declare(Step, frozen=True, kw_only=True, tag="declare"):
    """Name the new versions in the ``.env``: only those tokens change."""

    path: str
    before: str
    after: str
    declarations: tuple[Declaration, ...]

    def subject(self) -> str:
        """Name the file and its variables."""
        return f"{self.path}: {', '.join(d.key for d in self.declarations)}"

    def calls(self) -> list[str]:
        """Show each line's change."""
        return [f"write {self.path}: {d.key}={d.old or ''} → {d.new}" for d in self.declarations]

    def do(self, ctx: StepContext) -> Detail:
        """Replace the file, if it still is what the plan saw."""
        path = Path(self.path)
        if ctx.begun_before and self._is_declared(read_env(path)):
            # Before it stopped; what else changed since is not this step's.
            return {"written": False}
        return replaced(ctx, path, self.before, self.after, lambda was: declared(was, self))

    def undo(self, ctx: StepContext) -> Detail:
        """Put the old versions back, leaving what others changed meanwhile as it is."""
        path = Path(self.path)
        content = read_env(path)
        found = digest(content)
        if found == self.before:
            return {"written": False}
        passed = [one for one, _ in self._passed(content)]
        for declaration in self.declarations:
            if declaration in passed:
                continue
            match declaration.old:
                case None:
                    content = unset_value(content, declaration.key, declaration.new, path)
                case "":
                    content = empty_value(content, declaration.key, path)
                case old:
                    content = set_value(content, declaration.key, old, path)
        if digest(content) != found:
            replace_env(path, expected_sha256=found, content=content, fence=ctx.ask_lock)
        if passed:
            raise CannotUndoError(f"{self.overtaken(ctx)} That line was left as it is.")
        return {"written": True, "identical": digest(content) == self.before}

    def overtaken(self, ctx: StepContext) -> str:
        """Say so when a later change declared yet another version, or left the file unreadable."""
        if why := in_part(Path(self.path)):
            return why
        for one, now in self._passed(read_env(Path(self.path))):
            return f"{self.path} declares {one.key}={now} by now, not {one.new}."
        return ""

    def _is_declared(self, content: bytes) -> bool:
        values = parse_env(content, Path(self.path)).values
        return all(values.get(one.key) == one.new for one in self.declarations)

    def _passed(self, content: bytes) -> list[tuple[Declaration, str]]:
        """Find what declares neither its old nor its new version, and which one it does."""
        values = parse_env(content, Path(self.path)).values
        found = [(one, values.get(one.key) or "") for one in self.declarations]
        return [(one, now) for one, now in found if now not in (one.new, one.old or "")]


class CommitEnv(Step, frozen=True, kw_only=True, tag="commit-env"):
    """Commit just that file, when its folder is a git checkout."""

    path: str
    message: str

    def subject(self) -> str:
        """Name the file."""
        return self.path

    def calls(self) -> list[str]:
        """Show the commit."""
        return [f"git commit --only {quote(self.path)} -m {quote(self.message)}"]

    def do(self, ctx: StepContext) -> Detail:
        """Commit it, or find nothing to commit."""
        ctx.ask_lock()
        return {"commit": commit_env(Path(self.path), f"{self.message} (opskit {ctx.run})")}

    def undo(self, ctx: StepContext) -> Detail:
        """Do nothing here: the restored file is committed by `RecommitEnv`."""
        return {}


class RecommitEnv(Step, frozen=True, kw_only=True, tag="recommit-env"):
    """The other half of `CommitEnv`: stands before `Declare`, so it is undone after it."""

    path: str
    message: str

    def subject(self) -> str:
        """Name the file."""
        return self.path

    def calls(self) -> list[str]:
        """Do nothing unless the run is undone."""
        return []

    def do(self, ctx: StepContext) -> Detail:
        """Do nothing; there is something to commit only when the run is undone."""
        return {}

    def undo(self, ctx: StepContext) -> Detail:
        """Commit the restored file."""
        ctx.ask_lock()
        return {"commit": commit_env(Path(self.path), f"Undo: {self.message} (opskit {ctx.run})")}


def replaced(
    ctx: StepContext, path: Path, before: str, after: str, change: Callable[[bytes], bytes]
) -> Detail:
    """Replace a file that still has the digest `before`; do nothing when it has `after`.

    Raises
    ------
    StalePlanError
        It has neither.
    """
    content = read_env(path)
    found = digest(content)
    if found == after:
        return {"written": False}
    if found != before:
        raise StalePlanError(
            f"{path} changed since the plan was made. Nothing of it was touched; plan again."
        )
    replace_env(path, expected_sha256=found, content=change(content), fence=ctx.ask_lock)
    return {"written": True}


def read_env(path: Path) -> bytes:
    """Read a file that a plan changes.

    Raises
    ------
    StalePlanError
        It is gone, or cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise StalePlanError(
            f"{path} cannot be read ({error.strerror}). Put it back, then go on."
        ) from error


def read_unchanged(path: Path, expected: str) -> bytes:
    """Read a file to plan its change, as the snapshot saw it.

    Raises
    ------
    StalePlanError
        Its digest is not the `expected` one.
    """
    content = read_env(path)
    if digest(content) != expected:
        raise StalePlanError(
            f"{path} changed since it was read, and nothing was changed by the plan. Read it again "
            "and plan again."
        )
    return content


def in_part(path: Path) -> str:
    """Return why a file can only be read in part by now, so that nothing is written to it."""
    problem = parse_env(read_env(path), path).unread
    if problem is None:
        return ""
    where = f"{path}:{problem.line}" if problem.line else str(path)
    return f"{where}: {problem.what} {problem.remedy}"


def digest(content: bytes) -> str:
    """Return a file content's SHA-256, as plans name it."""
    return hashlib.sha256(content).hexdigest()


def declared(content: bytes, step: Declare) -> bytes:
    """Return the content with the new versions in place."""
    for declaration in step.declarations:
        content = set_value(content, declaration.key, declaration.new, Path(step.path))
    return content


class Pin(Step, frozen=True, kw_only=True, tag="pin"):
    """Write ``TYPE=recipe:version``: only that token changes.

    `old` and `new` are what stands behind ``TYPE=`` or ``RECIPE=``; `before` and `after` are
    digests of the file.
    """

    path: str
    key: str
    old: str
    new: str
    before: str
    after: str

    def subject(self) -> str:
        """Name the file and the version."""
        return f"{self.path}: {self.new}"

    def calls(self) -> list[str]:
        """Show the line's change."""
        return [f"write {self.path}: {self.key}={self.old} → {self.new}"]

    def parts(self) -> tuple[Part, ...]:
        """Return the line."""
        return (Part(kind=".env", names=(self.key,), before=(self.old,), after=(self.new,)),)

    def do(self, ctx: StepContext) -> Detail:
        """Replace the file, if it still is what the plan saw."""
        path = Path(self.path)
        if ctx.begun_before and parse_env(read_env(path), path).values.get(self.key) == self.new:
            # Before it stopped; what else changed since is not this step's.
            return {"written": False}
        return replaced(
            ctx, path, self.before, self.after, lambda was: set_name(was, self.key, self.new, path)
        )

    def undo(self, ctx: StepContext) -> Detail:
        """Put the old version back, leaving what others changed meanwhile as it is."""
        content = read_env(Path(self.path))
        if parse_env(content, Path(self.path)).values.get(self.key) == self.old:
            return {"written": False}
        path = Path(self.path)
        changed = set_name(content, self.key, self.old, path)
        replace_env(path, expected_sha256=digest(content), content=changed, fence=ctx.ask_lock)
        return {"written": True}

    def overtaken(self, ctx: StepContext) -> str:
        """Say so when a later change pinned yet another version, or left the file unreadable."""
        if why := in_part(Path(self.path)):
            return why
        now = parse_env(read_env(Path(self.path)), Path(self.path)).values.get(self.key, "")
        if now in (self.old, self.new):
            return ""
        return f"{self.path} has {self.key}={now} by now, not {self.new}."


def pin(path: Path, version: str, expected: str) -> Pin:
    """Make the step that pins a version.

    Parameters
    ----------
    path
        The app's ``.env``.
    version
        What to pin.
    expected
        The digest of the file as the snapshot saw it.

    Raises
    ------
    StalePlanError
        The file changed since.
    InputError
        Its line cannot be changed safely.
    """
    content = read_unchanged(path, expected)
    values = parse_env(content, path).values
    key = recipe_key(values)
    old = values.get(key, "")
    if nameable(old) != old:
        raise InputError(
            f"{key}= holds a login, which a plan would show and keep.",
            path=path,
            remedy="Name the recipe without, and let git know the login: see git help credentials",
        )
    scheme, separator, rest = old.rpartition("://")
    new = f"{scheme}{separator}{rest.partition(':')[0]}:{version}"
    after = digest(set_name(content, key, new, path))
    return Pin(path=str(path), key=key, old=old, new=new, before=expected, after=after)
