"""What is wrong with a service spec, in the order an engine looks for it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from opskit.demo.engine.refusal import Refusal, invalid
from opskit.demo.engine.specs import (
    ConfigReference,
    SecretReference,
    ServiceShape,
    UpdateConfig,
)
from opskit.demo.engine.stored import StoredTable

_NAME = re.compile(r"[a-zA-Z0-9](?:[-_]*[A-Za-z0-9]+)*")
_IMAGE = re.compile(r"[a-z0-9]\S*")
_CONSTRAINT = re.compile(r".+(==|!=).+")


def check_spec(shape: ServiceShape) -> None:
    """Refuse a spec that could not be run on any swarm."""
    if shape.task_template.container_spec is None:
        raise Refusal(400, "mismatched Runtime and *Spec fields")
    mode = shape.mode
    modes = (mode.replicated, mode.global_, mode.replicated_job, mode.global_job)
    if sum(one is not None for one in modes) > 1:
        raise Refusal(400, "must specify only one service mode")
    for config in (shape.update_config, shape.rollback_config):
        _check_update(config or UpdateConfig())
    policy = shape.task_template.restart_policy
    if policy.condition not in ("", "none", "on-failure", "any"):
        raise Refusal(400, f'invalid RestartCondition: "{policy.condition}"')
    if not _NAME.fullmatch(shape.name):
        raise invalid("name must be valid as a DNS name component")
    if len(shape.name) > 63:
        raise invalid("name must be 63 characters or fewer")
    _check_image(shape.container.image)
    if shape.is_job and shape.update_config is not None:
        raise invalid("Jobs may not have an update config")
    _check_references("secret", shape.container.secrets)
    _check_references("config", shape.container.configs)
    for constraint in shape.task_template.placement.constraints:
        if not _CONSTRAINT.fullmatch(constraint):
            text = "rpc error: code = Unknown desc = constraint expected one operator from ==, !="
            raise Refusal(500, text)


def check_links(
    shape: ServiceShape,
    secrets: StoredTable,
    configs: StoredTable,
    find_network: Callable[[str], str],
) -> None:
    """Refuse a spec that names what this swarm does not have."""
    for network in (*shape.networks, *shape.task_template.networks):
        try:
            find_network(network.target)
        except Refusal as refusal:
            raise Refusal(500, refusal.message) from None
    for table, references in (
        (secrets, shape.container.secrets),
        (configs, shape.container.configs),
    ):
        for reference in references:
            one = table.get(reference.id)
            if one is None or one.spec.name != reference.name:
                raise invalid(f"{table.noun} not found: {reference.name}")


def _check_update(config: UpdateConfig) -> None:
    if config.failure_action not in ("", "pause", "continue", "rollback"):
        raise Refusal(400, f"unrecognized update failure action {config.failure_action}")
    if config.order not in ("", "stop-first", "start-first"):
        raise Refusal(400, f"unrecognized update order {config.order}")


def _check_image(image: str) -> None:
    if not image:
        raise invalid("ContainerSpec: image reference must be provided")
    if not _IMAGE.fullmatch(image):
        raise invalid(f'ContainerSpec: "{image}" is not a valid repository/tag')


def _check_references(
    noun: str, references: Sequence[SecretReference] | Sequence[ConfigReference]
) -> None:
    taken: dict[str, str] = {}
    for reference in references:
        if not (reference.id and reference.name):
            raise invalid(f"malformed {noun} reference")
        if reference.file is None:
            raise invalid(f"malformed {noun} reference, no target provided")
        target = reference.file.name
        if not target:
            raise invalid(f"malformed file {noun} reference, invalid target file name provided")
        if target in taken:
            raise invalid(
                f"{noun} references '{taken[target]}' and '{reference.name}' have a conflicting "
                f"target: '{target}'"
            )
        taken[target] = reference.name
