"""Service specs: the parts the simulation reads, what is wrong with one, how the whole is stored.

A spec is kept as the JSON the client sent, completed with what an engine writes into it, so that
fields the simulation knows nothing of come back as they went in.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, cast

import msgspec
from msgspec import field

from opskit.decoding import ready
from opskit.demo.engine.objects import Json, Refusal, invalid


class _Part(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename="pascal"):
    """A part of a spec; unknown fields are passed over."""


class Target(_Part, frozen=True):
    """Where a secret or config is mounted."""

    name: str = ""


class SecretReference(_Part, frozen=True):
    """A service's use of a secret."""

    id: str = field(default="", name="SecretID")
    name: str = field(default="", name="SecretName")
    file: Target | None = None


class ConfigReference(_Part, frozen=True):
    """A service's use of a config."""

    id: str = field(default="", name="ConfigID")
    name: str = field(default="", name="ConfigName")
    file: Target | None = None


class Healthcheck(_Part, frozen=True):
    """How the engine asks a container whether it is well; times are in nanoseconds."""

    test: list[str] = []
    interval: int = 30_000_000_000
    start_period: int = 0
    retries: int = 3


class VolumeOptions(_Part, frozen=True):
    """How a volume is made when a task first needs it."""

    labels: dict[str, str] = {}


class Mount(_Part, frozen=True):
    """A mount of a container."""

    type: str = ""
    source: str = ""
    volume_options: VolumeOptions = VolumeOptions()


class ContainerShape(_Part, frozen=True):
    """What a task runs."""

    image: str = ""
    command: list[str] = []
    args: list[str] = []
    secrets: list[SecretReference] = []
    configs: list[ConfigReference] = []
    healthcheck: Healthcheck | None = None
    mounts: list[Mount] = []


class RestartPolicy(_Part, frozen=True):
    """When a task that ended is replaced; the delay is in nanoseconds."""

    condition: str = "any"
    delay: int = 5_000_000_000
    max_attempts: int = 0


class Placement(_Part, frozen=True):
    """Which nodes may run a task."""

    constraints: list[str] = []


class NetworkAttachment(_Part, frozen=True):
    """A network a service joins, by name or id."""

    target: str = ""


class TaskShape(_Part, frozen=True):
    """What every task of a service is like."""

    container_spec: ContainerShape | None = None
    restart_policy: RestartPolicy = RestartPolicy()
    placement: Placement = Placement()
    networks: list[NetworkAttachment] = []


class Replicated(_Part, frozen=True):
    """A fixed number of tasks."""

    replicas: int = 1


class Global(_Part, frozen=True):
    """One task on every suitable node."""


class ReplicatedJob(_Part, frozen=True):
    """A fixed number of tasks that end, some of them at a time."""

    max_concurrent: int = 1
    total_completions: int = 1


class Mode(_Part, frozen=True):
    """How many tasks a service has."""

    replicated: Replicated | None = None
    global_: Global | None = field(default=None, name="Global")
    replicated_job: ReplicatedJob | None = None
    global_job: Global | None = None


class UpdateConfig(_Part, frozen=True):
    """How tasks are replaced when the spec changes; times are in nanoseconds."""

    parallelism: int = 1
    delay: int = 0
    failure_action: str = "pause"
    monitor: int = 5_000_000_000
    max_failure_ratio: float = 0.0
    order: str = "stop-first"


class ServiceShape(_Part, frozen=True):
    """The parts of a service's spec that decide what happens."""

    name: str = ""
    labels: dict[str, str] = {}
    task_template: TaskShape = TaskShape()
    mode: Mode = Mode()
    update_config: UpdateConfig | None = None
    rollback_config: UpdateConfig | None = None
    networks: list[NetworkAttachment] = []

    @property
    def container(self) -> ContainerShape:
        """What its tasks run."""
        return self.task_template.container_spec or ContainerShape()

    @property
    def is_global(self) -> bool:
        """Whether it runs once on every node."""
        return self.mode.global_ is not None or self.mode.global_job is not None

    @property
    def is_job(self) -> bool:
        """Whether its tasks are there to end."""
        return self.mode.replicated_job is not None or self.mode.global_job is not None

    @property
    def mode_name(self) -> str:
        """What Swarm calls its mode."""
        if self.is_job:
            return "global-job" if self.is_global else "replicated-job"
        return "global" if self.is_global else "replicated"


_UPDATE = {"Parallelism": 0, "FailureAction": "pause", "MaxFailureRatio": 0, "Order": "stop-first"}
_UPDATE_DEFAULTS = _UPDATE | {"Parallelism": 1, "Monitor": 5_000_000_000}
_RESTART = {"Condition": "any", "MaxAttempts": 0}
_RESTART_DEFAULTS = _RESTART | {"Delay": 5_000_000_000}


def shape_of(spec: msgspec.Raw) -> ServiceShape:
    """Read the parts of a stored spec that decide what happens."""
    return msgspec.json.decode(spec, type=ready(ServiceShape))


def completed(spec: Json) -> Json:
    """Return a client's spec as an engine stores it: nulls dropped, bare parts filled in."""
    whole: Json = _without_nulls(spec)
    whole.setdefault("Labels", {})
    if not whole.get("Mode"):
        whole["Mode"] = {"Replicated": {}}
    if "Replicated" in whole["Mode"]:
        whole["Mode"]["Replicated"].setdefault("Replicas", 1)
    if "ReplicatedJob" in whole["Mode"]:
        job = cast("Json", whole["Mode"]["ReplicatedJob"])
        job.setdefault("MaxConcurrent", 1)
        job.setdefault("TotalCompletions", job["MaxConcurrent"])
    template: Json = whole["TaskTemplate"]
    template["ContainerSpec"].setdefault("Isolation", "default")
    template.update({"ForceUpdate": 0, "Runtime": "container"} | template)
    if "RestartPolicy" in template:
        template["RestartPolicy"] = _RESTART | template["RestartPolicy"]
    for name in ("UpdateConfig", "RollbackConfig"):
        if name in whole:
            whole[name] = _UPDATE | whole[name]
    if "EndpointSpec" in whole:
        whole["EndpointSpec"] = {"Mode": "vip"} | whole["EndpointSpec"]
    return whole


def with_defaults(spec: Json) -> Json:
    """Return a stored spec with what an engine assumes where nothing is said."""
    template: Json = spec["TaskTemplate"]
    container = {"StopGracePeriod": 10_000_000_000, "DNSConfig": {}} | template["ContainerSpec"]
    restart = _RESTART_DEFAULTS | template.get("RestartPolicy", {})
    bare: Json = {"Resources": {}, "Placement": {}}
    return spec | {
        "TaskTemplate": bare | template | {"ContainerSpec": container, "RestartPolicy": restart},
        "UpdateConfig": _UPDATE_DEFAULTS | spec.get("UpdateConfig", {}),
        "RollbackConfig": _UPDATE_DEFAULTS | spec.get("RollbackConfig", {}),
    }


def encoded(spec: Json) -> msgspec.Raw:
    """Encode a spec so that equal specs are equal bytes."""
    return msgspec.Raw(msgspec.json.encode(spec, order="sorted"))


def task_spec(spec: msgspec.Raw) -> msgspec.Raw:
    """Return the spec of a service's tasks."""
    template: Json = msgspec.json.decode(spec)["TaskTemplate"]
    return encoded({key: part for key, part in template.items() if key != "Runtime"})


def converted(spec: Json) -> ServiceShape:
    """Read a client's spec, or refuse values of a wrong type."""
    try:
        return msgspec.convert(_without_nulls(spec), ready(ServiceShape))
    except msgspec.ValidationError as error:
        raise Refusal(400, f"json: cannot unmarshal: {error}") from None


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        members = cast("Json", value)
        return {key: _without_nulls(one) for key, one in members.items() if one is not None}
    if isinstance(value, list):
        return [_without_nulls(one) for one in cast("list[Any]", value)]
    return value


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
