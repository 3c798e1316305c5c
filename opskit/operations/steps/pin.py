"""The step that pins another version of a recipe in an app's ``.env``."""

from __future__ import annotations

from pathlib import Path

from opskit.abra.edit import set_name
from opskit.abra.env import parse_env
from opskit.abra.names import recipe_key
from opskit.operations.envfile import replace_env
from opskit.operations.steps.base import Detail, Site, Step
from opskit.operations.steps.env import digest, read_env, read_unchanged, replaced


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

    def do(self, site: Site) -> Detail:
        """Replace the file, if it still is what the plan saw."""
        path = Path(self.path)
        return replaced(
            path, self.before, self.after, lambda was: set_name(was, self.key, self.new, path)
        )

    def undo(self, site: Site) -> Detail:
        """Put the old version back, leaving what others changed meanwhile as it is."""
        content = read_env(Path(self.path))
        if parse_env(content, Path(self.path)).values.get(self.key) == self.old:
            return {"written": False}
        path = Path(self.path)
        changed = set_name(content, self.key, self.old, path)
        replace_env(path, expected_sha256=digest(content), content=changed)
        return {"written": True}

    def overtaken(self, site: Site) -> str:
        """Say so when a later change pinned yet another version."""
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
    scheme, separator, rest = old.rpartition("://")
    new = f"{scheme}{separator}{rest.partition(':')[0]}:{version}"
    after = digest(set_name(content, key, new, path))
    return Pin(path=str(path), key=key, old=old, new=new, before=expected, after=after)
