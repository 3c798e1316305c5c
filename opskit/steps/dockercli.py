"""The docker command of a deploy: the environment it runs in, and what it says worth reading."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from pathlib import Path

from opskit.abra.deployment import LOCATORS, TAKEN, Deployment
from opskit.errors import InputError
from opskit.secrets.redact import redact
from opskit.swarm.context import docker_arguments, docker_config_dir

_LOGGED = (
    re.compile(r'time="[^"]*" level=\w+ msg="(?P<text>(?:[^"\\]|\\.)*)".*'),
    re.compile(r"(?:FATA|ERRO|WARN|INFO|DEBU)(?:\[\d+\])? +(?:<[^>]*> )?(?P<text>.*)"),
)
_NO_NEWS = re.compile(
    r"Since --detach=false was not specified, .*|In a future release, --detach=false .*|"
    r"(Creating|Updating|Removing) (service|network|config|secret) .*|"
    r"overall progress: .*|verify: .*|Waiting \d+ seconds .*|Service \S+ converged|"
    r"(\d+/\d+|\w{12}): (new|pending|assigned|accepted|ready|preparing|starting|running|"
    r"complete|shutdown)\s*(\[[=> ]*\])?\s*"
)
"""What docker says of what it does, and of its own options, whether or not it can."""
_IGNORED = re.compile(r"Ignoring (unsupported|deprecated) options: ")
_NO_DIGEST = re.compile(r"image (?P<image>\S+) could not be accessed on a registry to record\b")


def check_environment(found: Deployment, server: str) -> None:
    """Refuse what docker would interpolate with a value of the operator's, not of the app.

    Raises
    ------
    InputError
        The compose files use a variable that docker needs for itself.
    """
    for name in sorted(_taken(server) & found.looked_up):
        if name in found.environment or name in os.environ:
            whose = "of its .env" if name in found.environment else "that its .env does not set"
            raise InputError(
                f"the compose files of {found.stack} use {name} {whose}, and docker needs one for "
                "itself here.",
                path=Path(found.shown),
                remedy="Give the variable another name there and in the .env.",
            )


def _taken(server: str) -> frozenset[str]:
    return TAKEN - LOCATORS if docker_arguments(server) else TAKEN


def docker_environment(found: Deployment, server: str) -> dict[str, str]:
    """Return what docker runs with: the app's variables, and of the operator's those not asked for.

    Compose files are interpolated from the same environment, and abra takes nothing but the
    app's. But docker's credential helpers and ssh's own programs need what the operator has.
    """
    taken = _taken(server)
    hidden = found.looked_up | LOCATORS
    return {
        **{key: value for key, value in os.environ.items() if key not in hidden},
        **{key: value for key, value in found.environment.items() if key not in taken},
        **{key: value for key, value in os.environ.items() if key in taken},
        # Else docker would look below HOME, which may be the app's.
        "DOCKER_CONFIG": str(docker_config_dir().absolute()),
    }


def faults_in(text: str, found: Deployment | None) -> list[str]:
    """Return the lines that say why it failed, and not what docker had warned of before."""
    told: list[str] = []
    for part in text.split("\n\n"):
        lines = _said(part, found)
        if not (lines and _NO_DIGEST.match(" ".join(lines))):
            told += [line for line in lines if not _IGNORED.match(line)]
    return told


def warnings_in(text: str, found: Deployment, kept: Collection[str]) -> str:
    """Return what docker warns of though all went well, but for digests that were given to it."""
    told: list[str] = []
    for part in text.split("\n\n"):
        lines = _said(part, found)
        news = " ".join(lines) if any(map(_NO_DIGEST.match, lines)) else "; ".join(lines)
        match = _NO_DIGEST.match(news)
        if news and not (match and match["image"] in kept):
            told.append(news)
    return f"docker: {redact('; '.join(dict.fromkeys(told)))}" if told else ""


def _said(text: str, found: Deployment | None) -> list[str]:
    """Return the lines that say something, with the recipe's folder for one that is gone soon."""
    if found is not None:
        text = _lasting(text, found)
    lines = (line.strip() for line in text.splitlines())
    plain = (_logged(line).replace('\\"', '"') for line in lines)
    return [line for line in plain if line and not _NO_NEWS.fullmatch(line)]


def _logged(line: str) -> str:
    """Return what a line of a log says, without its time and level."""
    found = next((match for form in _LOGGED if (match := form.fullmatch(line))), None)
    return found["text"] if found else line


def _lasting(text: str, found: Deployment) -> str:
    """Put the recipe's folder and version for one that is gone soon."""
    if found.folder != found.shown:
        of_version = re.compile(rf"{re.escape(found.folder)}(?P<path>(/[^\s:;,\"'()]+)?)")
        text = of_version.sub(
            lambda match: f"{found.shown}{match['path']} of {found.version}", text
        )
    for made in {str(found.made), str(found.made.resolve())}:
        text = re.sub(rf"{re.escape(made)}(/[\w.]+)?", "opskit's overlay", text)
    return text
