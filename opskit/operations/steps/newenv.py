"""The step that writes a new app's ``.env``."""

from __future__ import annotations

from pathlib import Path

from opskit.abra.newapp import new_app
from opskit.errors import InputError, StalePlanError
from opskit.operations.envfile import create_env
from opskit.operations.steps.base import CannotUndoError, Detail, Site, Step
from opskit.operations.steps.env import digest


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

    def do(self, site: Site) -> Detail:
        """Write it, or find it written."""
        path = Path(self.path)
        if path.exists() and digest(path.read_bytes()) == self.after:
            return {"written": False}
        made = new_app(Path(self.root), self.server, self.domain, self.recipe, self.version)
        if digest(made.content) != self.after:
            raise StalePlanError(
                f"the sample of {self.recipe} changed since the plan was made. Plan again."
            )
        create_env(path, made.content)
        return {"written": True}

    def undo(self, site: Site) -> Detail:
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
        path.unlink()
        return {"removed": True}
