"""A real registry with a password (Debian: docker-registry), which one engine reaches."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from opskit.demo.dockerd import IMAGE
from tests.waiting import LIMIT, eventually

ADDRESS = "127.0.0.1:5055"
"""Engines take a registry on their own loopback without TLS."""

USER, OTHER, PASSWORD = "kim", "lee", "registry-password-for-tests"
"""Two people of one password."""
_HTPASSWD = (
    "kim:$2b$04$CFkhl8ocF5dPlcOXbpkjyu1N509MFMAbgmyuAMt5PkX4TQYLFMl36\n"
    "lee:$2b$04$BJ8DJCGtRhcmW1P37xRYr.RGeosssq.EwfzD949Duy/ygd5BRVGHG\n"
)
_CONFIG = {
    "version": 0.1,
    "log": {"level": "info"},
    "storage": {"delete": {"enabled": True}},
    "http": {"addr": ADDRESS},
}


@dataclass(frozen=True, slots=True)
class Registry:
    """What a test needs of it: images to push, and who asked for what."""

    host: str
    folder: Path

    @property
    def log(self) -> str:
        """What it was asked."""
        return (self.folder / "log").read_text(errors="replace")

    def push(self, name: str, *, label: str = "") -> str:
        """Push the one image under a name and tag, with a label to be told by; give its digest."""
        full = f"{ADDRESS}/{name}"
        recipe = f"FROM {IMAGE}\nLABEL made={label or 'once'}\n"
        self.docker("build", "-q", "-t", full, "-", stdin=recipe)
        self.docker("push", "-q", full)
        digest = self.docker("inspect", "--format", "{{index .RepoDigests 0}}", full)
        self.docker("rmi", "-f", full, check=False)
        return digest.strip().rpartition("@")[2]

    def forget(self) -> None:
        """Leave the engine without any image of the registry, like a node that is new.

        Containers that still end keep theirs until they have.
        """

        def left() -> list[str]:
            states = (f"--filter=status={state}" for state in ("exited", "created", "dead"))
            if ended := self.docker("ps", "-aq", *states).split():
                self.docker("rm", "-f", *ended, check=False)
            if images := self._images():
                self.docker("rmi", "-f", *images, check=False)
            return self._images()

        eventually(left, "the engine to have no image of the registry", lambda found: not found)

    def _images(self) -> list[str]:
        listed = self.docker("images", "--no-trunc", "-q", f"{ADDRESS}/*/*")
        return list(dict.fromkeys(listed.split()))

    def docker(self, *arguments: str, stdin: str = "", check: bool = True) -> str:
        """Run docker as somebody who is logged in."""
        own = self.folder / "docker"
        log_in(own, {ADDRESS: (USER, PASSWORD)})
        done = subprocess.run(
            ["docker", "-H", self.host, *arguments],
            env={**os.environ, "DOCKER_CONFIG": str(own)},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        assert done.returncode == 0 or not check, done.stderr
        return done.stdout


def log_in(docker_config: Path, entries: Mapping[str, tuple[str, str]]) -> None:
    """Write what ``docker login`` leaves: entries by registry."""
    docker_config.mkdir(parents=True, exist_ok=True)
    auths = {
        registry: {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}
        for registry, (user, password) in entries.items()
    }
    (docker_config / "config.json").write_text(json.dumps({"auths": auths}))


def why_not() -> str:
    """Tell which program is missing, if one is."""
    missing = [name for name in ("docker-registry", "nsenter") if not shutil.which(name)]
    return f"{' and '.join(missing)} is not installed" if missing else ""


@contextmanager
def registry(folder: Path, host: str) -> Iterator[Registry]:
    """Run one where a private engine has its loopback."""
    if missing := why_not():
        if os.environ.get("OPSKIT_REQUIRE_ENGINES"):
            pytest.fail(f"OPSKIT_REQUIRE_ENGINES is set, but {missing}")
        pytest.skip(missing)
    (folder / "htpasswd").write_text(_HTPASSWD)
    auth = {"htpasswd": {"realm": "tests", "path": str(folder / "htpasswd")}}
    storage = {**_CONFIG["storage"], "filesystem": {"rootdirectory": str(folder / "images")}}
    (folder / "config.yml").write_text(json.dumps({**_CONFIG, "storage": storage, "auth": auth}))
    engine = Path(host.removeprefix("unix://")).with_name("pid").read_text().strip()
    command = ["nsenter", "--net", "--target", engine]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "docker-registry", "serve", str(folder / "config.yml")],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    made = Registry(host, folder)
    try:
        eventually(lambda: made.log, "the registry to listen", lambda text: "listening on" in text)
        yield made
    finally:
        process.terminate()
        process.wait(LIMIT)
