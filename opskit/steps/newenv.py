"""Steps that write a whole ``.env``: a new app's, and an edited one."""

from __future__ import annotations

from pathlib import Path
from shlex import quote

from opskit.abra.app import read_app
from opskit.abra.newapp import new_app
from opskit.abra.recipe import Recipes
from opskit.errors import InputError, LockLostError, StalePlanError, StepError, UnreachableError
from opskit.facts.join import stack_of
from opskit.steps.base import CannotUndoError, Detail, Step, StepContext
from opskit.steps.env import digest, read_env
from opskit.steps.envfile import create_env, replace_env


class CreateEnv(Step, frozen=True, kw_only=True, tag="create-env"):
    """Write a new ``.env`` from a recipe's sample; nothing is ever overwritten.

    `version` is empty for the sample of the working tree; `after` is the digest of what is to
    stand in the file.
    """

    path: str
    root: str
    server: str
    domain: str
    recipe: str
    version: str
    after: str

    def subject(self) -> str:
        """Name the file."""
        return self.path

    def calls(self) -> list[str]:
        """Show what is written."""
        return [f"write {self.path}: {self.recipe} {self.version or '(working tree)'}'s sample"]

    def do(self, ctx: StepContext) -> Detail:
        """Write it, or find it written."""
        path = Path(self.path)
        if path.exists() and digest(path.read_bytes()) == self.after:
            return {"written": False}
        made = new_app(Path(self.root), self.server, self.domain, self.recipe, self.version)
        if digest(made.content) != self.after:
            raise StalePlanError(
                f"the sample of {self.recipe} changed since the plan was made. Plan again."
            )
        ctx.ask_lock()
        create_env(path, made.content)
        _ask_after(ctx, path)
        return {"written": True}

    def undo(self, ctx: StepContext) -> Detail:
        """Remove it, if it still is what was written."""
        path = Path(self.path)
        try:
            found = digest(path.read_bytes())
        except FileNotFoundError:
            return {"removed": False}
        except OSError as error:
            raise InputError(f"it cannot be read ({error.strerror}).", path=path) from error
        if found != self.after:
            raise CannotUndoError(f"{path} was edited since. Remove it if it is not wanted.")
        ctx.ask_lock()
        path.unlink()
        _ask_after(ctx, path)
        return {"removed": True}

    def undo_conflict(self, ctx: StepContext) -> str:
        """Say so while the swarm holds something of the app: without its file it is an orphan's."""
        try:
            app = read_app(Recipes(Path(self.root)), self.server, Path(self.path))
            services, secrets = ctx.engine.services(), ctx.engine.secrets()
        except (InputError, UnreachableError):
            return ""
        declared = {one.swarm_name for one in app.secrets}
        left = [one.spec.name for one in services if stack_of(one.spec.labels) == app.stack]
        left += [one.spec.name for one in secrets if one.spec.name in declared]
        if not left:
            return ""
        return (
            f"{self.server} holds {', '.join(left[:5])}{' and more' if len(left) > 5 else ''} of "
            f"{self.domain}. Take it down first: opskit app undeploy {quote(self.domain)}, then "
            f"opskit secret remove {quote(self.domain)} --all"
        )


class ReplaceEnv(Step, frozen=True, kw_only=True, tag="replace-env"):
    """Write an edited ``.env``; the text itself is only in memory, as it may hold secrets."""

    path: str
    before: str
    after: str

    def subject(self) -> str:
        """Name the file."""
        return self.path

    def calls(self) -> list[str]:
        """Show what is written."""
        return [f"write {self.path}: as edited"]

    def do(self, ctx: StepContext) -> Detail:
        """Replace the file, if it still is what was edited."""
        found = digest(Path(self.path).read_bytes())
        if found == self.after:
            return {"written": False}
        if found != self.before:
            raise StalePlanError(
                f"{self.path} changed while it was edited, and was not touched. Edit it again."
            )
        self._write(ctx, found, self.path, "Edit it again.")
        return {"written": True}

    def undo(self, ctx: StepContext) -> Detail:
        """Put the old text back, as long as the process lives that read it."""
        found = digest(Path(self.path).read_bytes())
        if found == self.before:
            return {"written": False}
        if found != self.after or old_text(self.path) not in ctx.values:
            raise CannotUndoError(self._not_kept())
        self._write(ctx, found, old_text(self.path), "")
        return {"written": True}

    def undo_conflict(self, ctx: StepContext) -> str:
        """Say so when the old text went with the process that read it."""
        found = digest(read_env(Path(self.path)))
        kept = old_text(self.path) in ctx.values
        return "" if kept or found == self.before else self._not_kept()

    def _not_kept(self) -> str:
        return (
            f"the text before of {self.path} is not kept by opskit. Take it from git or a backup, "
            "or edit the file again."
        )

    def _write(self, ctx: StepContext, found: str, key: str, remedy: str) -> None:
        text = ctx.values.get(key)
        if text is None:
            raise StepError(f"the edited text of {self.path} was only in memory. {remedy}")
        replace_env(
            Path(self.path), expected_sha256=found, content=text.reveal(), fence=ctx.ask_lock
        )


def _ask_after(ctx: StepContext, path: Path) -> None:
    try:
        ctx.ask_lock()
    except LockLostError as error:
        raise LockLostError(f"{error} {path} was changed at that moment.") from error


def old_text(path: str) -> str:
    """Return the key under which a run keeps a file's text before, in memory."""
    return f"{path} before"
