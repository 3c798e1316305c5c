"""The apps of the campaign: small recipes, each with a trait that rotations must respect."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

OLD, BROKEN, NEW = "1.0.0+1.0", "1.5.0+1.5", "2.0.0+2.0"
RELEASES = (OLD, BROKEN, NEW)
BAD = "bad-value"
"""A value with this in it keeps a service from running."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A secret as a service sees it.

    Parameters
    ----------
    service, target
        Where its value is read.
    secret
        The name in the swarm, between stack and version.
    variable
        What declares its version in the ``.env``.
    """

    service: str
    target: str
    secret: str
    variable: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What an app is made of, as far as the oracle must know.

    Parameters
    ----------
    keys
        The compose keys of its secrets.
    apart
        The keys that may be rotated or inserted one at a time.
    first
        The versions that its ``.env`` begins with.
    jobs
        Services that run once and end.
    """

    name: str
    services: str
    keys: Mapping[str, tuple[str, str]]
    apart: tuple[str, ...]
    mounts: tuple[Mount, ...]
    first: Mapping[str, str]
    jobs: tuple[str, ...] = ()
    newline: str = "\n"

    def files(self, release: str) -> dict[str, str]:
        """Return the recipe's files in one of its releases."""
        # What cannot even be started never runs for a moment, however busy the machine is.
        command = '["no-such-program"]' if release == BROKEN else _RUN
        secrets = "".join(
            f'  {key}: {{external: true, name: "${{STACK_NAME}}_{name}_${{{variable}}}"}}\n'
            for key, (name, variable) in self.keys.items()
        )
        text = f'version: "3.8"\nservices:\n{self.services}secrets:\n{secrets}{_CONFIGS}'
        for mark, words in (("COMMON", _COMMON), ("RUN", command), ("RELEASE", release)):
            text = text.replace(mark, words)
        return {
            "compose.yml": text,
            "abra.sh": f"export GREETING_VERSION=v{release[0]}{release[2]}\n",
            "greeting.tmpl": f"release {release}\n",
        }

    def env(self, app: str, stack: str) -> str:
        """Return a new app's ``.env``."""
        lines = [f"# {app}", f"TYPE={self.name}:{OLD}", f"DOMAIN={app}", f"STACK_NAME={stack}"]
        lines += [f"{name}={version}  # length=40" for name, version in self.first.items()]
        return self.newline.join([*lines, "PASSWORD=not-to-be-touched", ""])


_RUN = f'["sh", "-c", "grep -q {BAD} /run/secrets/* && exit 1; exec sleep 100000"]'
_COMMON = (
    "image: 'local/busybox:1', stop_grace_period: 0s, "
    "deploy: {restart_policy: {delay: 100ms}, update_config: {monitor: 300ms}, "
    'labels: ["coop-cloud.${STACK_NAME}.version=RELEASE"]}'
)
_CONFIGS = (
    'configs:\n  greeting: {name: "${STACK_NAME}_greeting_${GREETING_VERSION}", '
    "file: greeting.tmpl}\n"
)


def _mounts(service: str, **targets: tuple[str, str]) -> tuple[Mount, ...]:
    return tuple(
        Mount(service=service, target=target, secret=secret, variable=variable)
        for target, (secret, variable) in targets.items()
    )


_TOKEN = ("token", "SECRET_TOKEN_VERSION")
_KEY = ("key", "SECRET_KEY_VERSION")
_USER = ("user", "SECRET_PAIR_VERSION")
_API = ("api", "SECRET_PAIR_VERSION")
_SESSION = ("session", "SECRET_SESSION_VERSION")
_FALLBACK = ("session", "SECRET_SESSION_FALLBACK_VERSION")

RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="plain",
            services="  app: {COMMON, command: RUN, secrets: [token, key], configs: [greeting]}\n",
            keys={"token": _TOKEN, "key": _KEY},
            apart=("token", "key"),
            mounts=_mounts("app", token=_TOKEN, key=_KEY),
            first={"SECRET_TOKEN_VERSION": "v1", "SECRET_KEY_VERSION": "v1"},
            newline="\r\n",
        ),
        Recipe(  # Two secrets share a version.
            name="pair",
            services="  app: {COMMON, command: RUN, secrets: [user, api], "
            "configs: [greeting]}\n"
            "  worker: {COMMON, command: sleep 100000, "
            "secrets: [{source: api, target: credentials, mode: 0400}]}\n",
            keys={"user": _USER, "api": _API},
            apart=(),
            mounts=_mounts("app", user=_USER, api=_API) + _mounts("worker", credentials=_API),
            first={"SECRET_PAIR_VERSION": "v1"},
        ),
        Recipe(  # Two versions of one secret are mounted side by side.
            name="twin",
            services="  app: {COMMON, command: RUN, "
            "secrets: [session, session_fallback], configs: [greeting]}\n",
            keys={"session": _SESSION, "session_fallback": _FALLBACK},
            apart=("session",),
            mounts=_mounts("app", session=_SESSION, session_fallback=_FALLBACK),
            first={"SECRET_SESSION_VERSION": "v2", "SECRET_SESSION_FALLBACK_VERSION": "v1"},
        ),
        Recipe(  # A job beside a service.
            name="jobs",
            services="  app: {COMMON, command: RUN, secrets: [token], "
            "configs: [greeting]}\n"
            "  once: {image: 'local/busybox:1', command: test -s /run/secrets/token, "
            "stop_grace_period: 0s, secrets: [token], "
            "deploy: {mode: replicated-job}}\n",
            keys={"token": _TOKEN},
            apart=("token",),
            mounts=_mounts("app", token=_TOKEN) + _mounts("once", token=_TOKEN),
            first={"SECRET_TOKEN_VERSION": "v1"},
            jobs=("once",),
        ),
    )
}


def write(folder: Path) -> None:
    """Write every recipe as a checkout with its releases, the newest on top."""
    for recipe in RECIPES.values():
        checkout = folder / recipe.name
        checkout.mkdir(parents=True)
        git(checkout, "init", "-q", "-b", "main")
        for release in RELEASES:
            for name, text in recipe.files(release).items():
                (checkout / name).write_text(text)
            git(checkout, "add", "--all")
            git(checkout, "commit", "-q", "-m", f"Release {release}")
            git(checkout, "tag", release)


def git(folder: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run git as somebody who is neither operator."""
    env = {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "GIT_CONFIG_NOSYSTEM": "1",
        **{f"GIT_{who}_NAME": "Chaos" for who in ("AUTHOR", "COMMITTER")},
        **{f"GIT_{who}_EMAIL": "chaos@test.example" for who in ("AUTHOR", "COMMITTER")},
    }
    done = subprocess.run(
        ["git", *arguments], cwd=folder, env=env, check=False, capture_output=True, text=True
    )
    assert not check or done.returncode == 0, f"git {arguments}: {done.stdout}{done.stderr}"
    return done
