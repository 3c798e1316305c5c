"""Images by their names, and the operator's credentials for the registries they come from.

Credentials are those of the docker CLI (``docker login`` and its helpers), read as it reads them;
they are kept nowhere, and nothing here shows them.
"""

# The docker SDK's types leave its credentials unknown.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from shlex import quote
from typing import Any, cast

from opskit.errors import InputError
from opskit.swarm.context import docker_config_dir

PUBLIC = "docker.io"
"""The registry that docker asks when an image's name has none; mostly without a login."""


def registry_of(image: str) -> str:
    """Return the registry that an image comes from.

    Examples
    --------
    >>> from opskit.swarm.registry import registry_of
    >>> registry_of("nextcloud:29"), registry_of("registry.coop.example:5000/shop:1")
    ('docker.io', 'registry.coop.example:5000')
    """
    # Late, as the SDK brings requests along.
    from docker import auth
    from docker.errors import InvalidRepository

    try:
        return auth.resolve_repository_name(without_digest(image))[0]
    except (InvalidRepository, IndexError):
        return PUBLIC


def without_digest(image: str) -> str:
    """Return an image's name as a compose file has it, without what the engine resolved."""
    return image.partition("@")[0]


def is_same(one: str, other: str) -> bool:
    """Return whether two names mean the same tag of the same image, whatever their digests.

    Examples
    --------
    >>> from opskit.swarm.registry import is_same
    >>> is_same("docker.io/library/nginx", "nginx:latest@sha256:0a1b")
    True
    """
    return _whole(one) == _whole(other)


def _whole(image: str) -> tuple[str, str]:
    registry, name = registry_of(image), without_digest(image)
    if name.startswith((f"{registry}/", f"index.{registry}/")):
        name = name.partition("/")[2]
    if registry == PUBLIC:
        name = name.removeprefix("library/")
    return registry, name if ":" in name.rpartition("/")[2] else f"{name}:latest"


def is_pinned(image: str) -> bool:
    """Return whether a name says which image exactly it means."""
    return "@" in image


class Logins:
    """What the operator is logged in to, looked up when first asked."""

    def __init__(self) -> None:
        self._found: dict[str, Mapping[str, Any]] = {}

    def header(self, registry: str) -> Mapping[str, Any]:
        """Return the credentials for a registry, as a request bears them; empty without any.

        Raises
        ------
        InputError
            The configuration or the helper that it names cannot be used.
        """
        if registry not in self._found:
            self._found[registry] = self._look_up(registry)
        return self._found[registry]

    def has(self, registry: str) -> bool:
        """Return whether there are credentials for a registry."""
        return bool(self.header(registry))

    @cached_property
    def _configured(self) -> Any:
        from docker import auth
        from docker.errors import DockerException

        path = docker_config_dir() / "config.json"
        if not path.is_file():
            # The SDK would go on looking elsewhere, where docker does not.
            return auth.AuthConfig({})
        try:
            return auth.load_config(str(path))
        except (DockerException, AttributeError, TypeError, ValueError):
            raise InputError(
                "the docker client's configuration is damaged.",
                path=path,
                remedy="Mend it, or move it away and log in again: docker login.",
            ) from None

    def _look_up(self, registry: str) -> Mapping[str, Any]:
        from docker.credentials.errors import StoreError
        from docker.errors import DockerException

        try:
            found = self._configured.resolve_authconfig(registry)
        except (DockerException, StoreError):
            # What a helper says is not shown: nobody knows what it repeats.
            helper = self._configured.get_credential_store(registry)
            raise InputError(
                f"docker's credential helper {helper} gives no credentials for {registry}.",
                path=docker_config_dir() / "config.json",
                remedy=f"Try it by hand: echo {quote(registry)} | "
                f"{quote(f'docker-credential-{helper}')} get "
                f">/dev/null; or take it out of the file, and: docker login {quote(registry)}",
            ) from None
        return cast("Mapping[str, Any]", found or {})
