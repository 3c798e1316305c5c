"""The demo fleet's apps: six servers, twenty apps of eight recipes, every state of a secret."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

RECIPES = Path(__file__).parent / "recipes"
UNREACHABLE, WORKER = "radio.example", "library.example"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What makes one secret of an app interesting; by default it is current at its version.

    Parameters
    ----------
    declared
        The version its ``.env`` names.
    stored
        Version → age in days, of what the swarm holds.
    used
        The version the services use; empty for the declared one.
    """

    declared: str = "v1"
    stored: tuple[tuple[str, float], ...] | None = None
    used: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleApp:
    """One app of the demo fleet."""

    server: str
    name: str
    recipe: str
    pinned: str = ""
    overlays: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    deployed: bool = True
    age: float = 60.0
    told: dict[str, Told] = field(default_factory=dict[str, Told])


APPS: tuple[SampleApp, ...] = (
    SampleApp(server="coop.example", name="traefik.coop.example", recipe="traefik",
              pinned="2.5.0+v2.11.12", overlays=("compose.ovh.yml",), age=412),
    SampleApp(server="coop.example", name="cloud.coop.example", recipe="nextcloud",
              pinned="5.0.1+29.0.7-fpm", overlays=("overlays/compose.collabora.yml",), age=204,
              told={"admin_password": Told(declared="v3", stored=(("v1", 520), ("v2", 301),
                                                                  ("v3", 33)))}),
    SampleApp(server="coop.example", name="id.coop.example", recipe="keycloak", age=97),
    SampleApp(server="coop.example", name="git.coop.example", recipe="gitea", age=388,
              told={"jwt_secret": Told(declared="v2", stored=(("v1", 388), ("v2", 2)),
                                       used="v1")}),
    SampleApp(server="coop.example", name="notes.coop.example", recipe="hedgedoc", age=18),
    SampleApp(server="mutual.example", name="blog.mutual.example", recipe="wordpress",
              pinned="1.4.0+6.6.2", overlays=("compose.mail.yml",), age=251,
              told={"db_password": Told(declared="v10", stored=(("v9", 251), ("v10", 12)))}),
    SampleApp(server="mutual.example", name="cloud.mutual.example", recipe="nextcloud", age=143),
    SampleApp(server="mutual.example", name="matrix.mutual.example", recipe="matrix-synapse",
              overlays=("compose.keycloak.yml",), age=166,
              told={"keycloak_client_secret": Told(stored=())}),
    SampleApp(server="mutual.example", name="mail.mutual.example", recipe="mailu", age=77,
              told={"redis_password": Told(declared="2024a", stored=(("2024a", 77),))}),
    SampleApp(server="garden.example", name="traefik.garden.example", recipe="traefik", age=29),
    SampleApp(server="garden.example", name="neighbourhood-archive-press.garden.example",
              recipe="wordpress", age=45),
    SampleApp(server="garden.example", name="notes.garden.example", recipe="hedgedoc",
              deployed=False, age=9, told={"session": Told(stored=())}),
    SampleApp(server="workshop.example", name="shop.workshop.example", recipe="wordpress",
              extra=("STACK_NAME=shop",), age=340),
    SampleApp(server="workshop.example", name="shop-dev.workshop.example", recipe="wordpress",
              extra=("STACK_NAME=shop_dev",), age=21,
              told={"db_password": Told(declared="v2", stored=(("v1", 21),), used="v1")}),
    SampleApp(server="workshop.example", name="meet.workshop.example", recipe="rallly", age=63,
              extra=("SECRET_JWT_VERSION=v1", "SECRET_SMTP_PASSWORD_VERSION=v1")),
    SampleApp(server="workshop.example", name="git.workshop.example", recipe="gitea",
              extra=('BROKEN="a quote that never ends',), age=120),
    SampleApp(server="workshop.example", name="pads.workshop.example", recipe="hedgedoc",
              extra=("STACK_NAME=pads",), age=58),
    SampleApp(server="workshop.example", name="padsold.workshop.example", recipe="hedgedoc",
              extra=("STACK_NAME=pads",), deployed=False),
    SampleApp(server=WORKER, name="cloud.library.example", recipe="nextcloud"),
    SampleApp(server=WORKER, name="notes.library.example", recipe="hedgedoc"),
    SampleApp(server=UNREACHABLE, name="blog.radio.example", recipe="wordpress"),
    SampleApp(server=UNREACHABLE, name="stream.radio.example", recipe="traefik"),
)  # fmt: skip

ORPHANS: tuple[tuple[str, str, float], ...] = (
    ("coop.example", "pads_coop_example_session_v1", 640),
    ("mutual.example", "matrix_mutual_example_turn_v1", 166),
    ("garden.example", "backup-borg-passphrase", 488),
)
"""Secrets nobody declares: server, name, age in days."""

SERVERS = tuple(dict.fromkeys(app.server for app in APPS))


def write_abra(root: Path) -> None:
    """Write the demo fleet's ``~/.abra``: recipes, servers, apps."""
    shutil.copytree(RECIPES, root / "recipes")
    for app in APPS:
        folder = root / "servers" / app.server
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{app.name}.env").write_text("\n".join([*_env_lines(app), ""]))


def _env_lines(app: SampleApp) -> Iterator[str]:
    sample = RECIPES / app.recipe / ".env.sample"
    pinned = f":{app.pinned}" if app.pinned else ""
    text = sample.read_text() if sample.is_file() else f"TYPE={app.recipe}\nDOMAIN=x\n"
    text = re.sub(r"^TYPE=.*$", f"TYPE={app.recipe}{pinned}", text, flags=re.MULTILINE)
    text = re.sub(r"^DOMAIN=.*$", f"DOMAIN={app.name}", text, flags=re.MULTILINE)
    for overlay in app.overlays:
        text = re.sub(rf"^#(COMPOSE_FILE=.*{re.escape(overlay)}.*)$", r"\1", text, flags=re.M)
        text = _enable_secrets(text)
    for secret, told in app.told.items():
        key = next(iter(re.findall(rf"^(\w*{secret.upper()}_VERSION)=", text, re.M)), "")
        if key:
            text = re.sub(rf"^{key}=v1", f"{key}={told.declared}", text, flags=re.MULTILINE)
    yield from text.rstrip("\n").split("\n")
    yield from app.extra


def _enable_secrets(text: str) -> str:
    """Enable the secret lines that follow an enabled overlay."""
    return re.sub(
        r"^(COMPOSE_FILE=.*overlay.*|COMPOSE_FILE=.*compose\.\w+\.yml.*)\n#(\w+_VERSION=)",
        r"\1\n\2",
        text,
        flags=re.MULTILINE,
    )
