"""What opskit keeps of an engine's replies: field names as in the Engine API, typed.

Decoded straight from list replies (``/services`` and the like carry whole specs), so unknown
fields cost nothing and nothing else is kept. Environment variables, arguments and config data
are left out on purpose: they may hold values nobody wants in a saved snapshot.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import field

NAME_LIMIT = 64
"""Characters that the name of a secret or a config may have."""

Time = Annotated[datetime, msgspec.Meta(tz=True)]
"""Of one without a zone nobody could tell how old it is."""
Text = Annotated[str, msgspec.Meta(max_length=65_536)]
"""Any text: one that is longer is no engine's, and would cost whoever shows it dearly."""


def _no_labels() -> dict[str, str]:
    return {}


class ObjectVersion(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename="pascal"):
    """Swarm's version index of an object; a change must name the one it read."""

    index: int = 0


class Driver(
    msgspec.Struct, frozen=True, kw_only=True, gc=False, rename="pascal", omit_defaults=True
):
    """A driver by its name, with the options it is given."""

    name: Text = ""
    options: dict[str, Text] | None = None


class Spec(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename="pascal"):
    """Name and labels, of a secret or a config.

    `driver` is the plugin that a task gets the value from; `templating` renders the value for
    each task.
    """

    name: Text = ""
    labels: dict[str, Text] | None = field(default_factory=_no_labels)
    driver: Driver | None = None
    templating: Driver | None = None


class StoredObject(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename="pascal"):
    """A secret or a config, without its data."""

    id: Text = field(name="ID")
    version: ObjectVersion = ObjectVersion()
    created_at: datetime
    updated_at: datetime | None = None
    spec: Spec


class FileTarget(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename="pascal"):
    """Where a secret or config appears in a container."""

    name: Text = ""
    uid: Text = field(default="0", name="UID")
    gid: Text = field(default="0", name="GID")
    mode: int = 0o444


class SecretReference(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename="pascal"):
    """A service's use of a secret."""

    secret_id: Text = field(default="", name="SecretID")
    secret_name: Text = ""
    file: FileTarget | None = None


class ConfigReference(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename="pascal"):
    """A service's use of a config."""

    config_id: Text = field(default="", name="ConfigID")
    config_name: Text = ""


class Mount(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename="pascal"):
    """What a container sees of its node: a volume by its name, a bind by its path there."""

    type: Text = ""
    source: Text = ""
    target: Text = ""


class Healthcheck(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename="pascal"):
    """That there is one, and its times in nanoseconds, 0 for the engine's own.

    Its command stays unread, as arguments may hold values.
    """

    interval: int = 0
    start_period: int = 0
    retries: int = 0


class ContainerSpec(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename="pascal"):
    """The container part of a task template."""

    image: Text = ""
    secrets: tuple[SecretReference, ...] | None = ()
    configs: tuple[ConfigReference, ...] | None = ()
    mounts: tuple[Mount, ...] | None = ()
    healthcheck: Healthcheck | None = None
    stop_grace_period: int | None = None


class RestartPolicy(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename="pascal"):
    """When a task that ended is replaced."""

    condition: Text = ""
    max_attempts: int = 0


class TaskTemplate(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename="pascal"):
    """What every task of a service runs; `force_update` counts restarts with the same spec."""

    container_spec: ContainerSpec | None = None
    restart_policy: RestartPolicy | None = None
    force_update: int = 0


class Replicated(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename="pascal"):
    """Mode: so many tasks."""

    replicas: int = 0


class ReplicatedJob(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename="pascal"):
    """Mode: so many tasks that end, so many of them at a time."""

    max_concurrent: int = 1
    total_completions: int = 1


class ServiceMode(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename="pascal"):
    """One of Swarm's four modes; ``Global`` and ``GlobalJob`` carry no number."""

    replicated: Replicated | None = None
    # ``Global: {}`` is written by the engine, ``null`` or nothing when absent.
    global_: dict[str, object] | None = field(default=None, name="Global")
    replicated_job: ReplicatedJob | None = None
    global_job: dict[str, object] | None = None

    @property
    def is_job(self) -> bool:
        """Whether its tasks are there to end, and no update replaces them in turns."""
        return self.replicated_job is not None or self.global_job is not None


class UpdateConfig(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename="pascal"):
    """How a rollout goes on, its times in nanoseconds, and what it does when a task fails.

    `parallelism` is 0 for all tasks at once.
    """

    parallelism: int = 0
    delay: int = 0
    monitor: int = 0
    order: Text = ""
    failure_action: Text = ""


class PortConfig(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename="pascal"):
    """A port that a service asks for; 0 where the engine chooses one."""

    protocol: Text = ""
    published_port: int = 0
    publish_mode: Text = ""


class EndpointSpec(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename="pascal"):
    """How a service can be reached."""

    ports: tuple[PortConfig, ...] | None = ()


class ServiceSpec(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename="pascal"):
    """The parts of a service's spec that opskit reads."""

    name: Text = ""
    labels: dict[str, Text] | None = field(default_factory=_no_labels)
    task_template: TaskTemplate = TaskTemplate()
    mode: ServiceMode = ServiceMode()
    update_config: UpdateConfig | None = None
    rollback_config: UpdateConfig | None = None
    endpoint_spec: EndpointSpec | None = None


class ServiceStatus(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename="pascal"):
    """Task counts, as the engine adds them on ``status=true``."""

    running_tasks: int = 0
    desired_tasks: int = 0
    completed_tasks: int = 0


class UpdateStatus(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename="pascal"):
    """How the last rollout stands, and since when it goes on."""

    state: Text = ""
    message: Text = ""
    started_at: datetime | None = None


class Service(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename="pascal"):
    """A service, its previous spec and how its rollout stands."""

    id: Text = field(name="ID")
    version: ObjectVersion = ObjectVersion()
    created_at: datetime
    updated_at: datetime | None = None
    spec: ServiceSpec
    previous_spec: ServiceSpec | None = None
    update_status: UpdateStatus | None = None
    service_status: ServiceStatus | None = None
    spec_digest: Text = ""
    """SHA-256 of the whole stored spec: unlike the version index, it moves only with the spec."""
    pieces: dict[str, str] = field(default_factory=dict[str, str])
    """SHA-256 of what is not kept of the spec, by piece: see `opskit.swarm.lists.pieces`."""


class ContainerStatus(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename="pascal"):
    """The container of a task, on the task's node."""

    container_id: Text = field(default="", name="ContainerID")


class TaskStatus(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename="pascal"):
    """Where a task stands."""

    state: Text = ""
    timestamp: datetime | None = None
    message: Text = ""
    err: Text = ""
    container_status: ContainerStatus | None = None


class TaskSpec(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename="pascal"):
    """The parts of a task's own spec that opskit reads."""

    container_spec: ContainerSpec | None = None


class Task(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename="pascal"):
    """One container of a service, past or present."""

    id: Text = field(name="ID")
    service_id: Text = field(default="", name="ServiceID")
    node_id: Text = field(default="", name="NodeID")
    slot: int = 0
    created_at: datetime
    desired_state: Text = ""
    status: TaskStatus = TaskStatus()
    spec: TaskSpec = TaskSpec()


SERVICE_LABEL, TASK_LABEL = "com.docker.swarm.service.id", "com.docker.swarm.task.id"
"""How Swarm marks the containers of its tasks."""


class Container(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename="pascal"):
    """A running container on the node that was asked."""

    id: Text
    labels: dict[str, Text] | None = field(default_factory=_no_labels)

    @property
    def task_id(self) -> str:
        """The task it belongs to, empty when Swarm did not start it."""
        return (self.labels or {}).get(TASK_LABEL, "")

    @property
    def service_id(self) -> str:
        """The service whose task that is, empty when Swarm did not start it."""
        return (self.labels or {}).get(SERVICE_LABEL, "")


class Probed(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename="pascal"):
    """What a healthcheck came to once; its output is whatever the program wrote."""

    exit_code: int = 0
    output: Text = ""


class Health(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename="pascal"):
    """How a container's healthcheck stands, with the last few times it was asked."""

    status: Text = ""
    log: tuple[Probed, ...] | None = ()


class ContainerState(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename="pascal"):
    """How a container stands; without a healthcheck there is no `health`."""

    health: Health | None = None


class ContainerDetail(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename="pascal"):
    """One container of the node that was asked, running or ended."""

    state: ContainerState = ContainerState()


class NodeSpec(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename="pascal"):
    """What an operator set on a node."""

    role: Text = ""
    availability: Text = ""
    labels: dict[str, Text] | None = field(default_factory=_no_labels)


class NodePlatform(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename="pascal"):
    """Hardware and system names."""

    architecture: Text = ""
    os: Text = field(default="", name="OS")


class NodeResources(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename="pascal"):
    """CPU in billionths of a core, memory in bytes."""

    nano_cpus: int = field(default=0, name="NanoCPUs")
    memory_bytes: int = 0


class NodeEngine(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename="pascal"):
    """The engine on a node."""

    engine_version: Text = ""


class NodeDescription(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename="pascal"):
    """What a node says of itself."""

    hostname: Text = ""
    platform: NodePlatform = NodePlatform()
    resources: NodeResources = NodeResources()
    engine: NodeEngine = NodeEngine()


class NodeStatus(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename="pascal"):
    """Whether a node is up."""

    state: Text = ""
    addr: Text = ""


class ManagerStatus(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename="pascal"):
    """A manager's place in the quorum."""

    leader: bool = False
    reachability: Text = ""
    addr: Text = ""


class Node(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename="pascal"):
    """A machine of the swarm."""

    id: Text = field(name="ID")
    created_at: datetime
    spec: NodeSpec = NodeSpec()
    description: NodeDescription = NodeDescription()
    status: NodeStatus = NodeStatus()
    manager_status: ManagerStatus | None = None


class Network(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename="pascal"):
    """A network."""

    id: Text
    name: Text
    created: datetime | None = None
    scope: Text = ""
    driver: Text = ""
    attachable: bool = False
    ingress: bool = False
    internal: bool = False
    options: dict[str, Text] | None = field(default_factory=_no_labels)
    labels: dict[str, Text] | None = field(default_factory=_no_labels)


class Volume(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename="pascal"):
    """A volume on the node that was asked."""

    name: Text
    driver: Text = ""
    mountpoint: Text = ""
    created_at: Text = ""
    labels: dict[str, Text] | None = field(default_factory=_no_labels)


class Volumes(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename="pascal"):
    """The wrapper around ``/volumes``."""

    volumes: tuple[Volume, ...] | None = ()


class CaConfig(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename="pascal"):
    """Swarm certificate policy; the expiry is in nanoseconds."""

    node_cert_expiry: int = 0


class Encryption(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename="pascal"):
    """Whether managers start locked."""

    auto_lock_managers: bool = False


class ClusterSpec(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename="pascal"):
    """Swarm-wide settings."""

    ca_config: CaConfig = field(default=CaConfig(), name="CAConfig")
    encryption_config: Encryption = Encryption()


class Cluster(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename="pascal"):
    """The swarm itself."""

    id: Text = field(default="", name="ID")
    created_at: datetime | None = None
    spec: ClusterSpec = ClusterSpec()


class SwarmInfo(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename="pascal"):
    """An engine's part in a swarm."""

    node_id: Text = field(default="", name="NodeID")
    node_addr: Text = ""
    local_node_state: Text = ""
    control_available: bool = False
    error: Text = ""
    managers: int = 0
    nodes: int = 0
    cluster: Cluster | None = None


class Info(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename="pascal"):
    """An engine's account of itself."""

    name: Text = ""
    server_version: Text = ""
    operating_system: Text = ""
    architecture: Text = ""
    ncpu: int = field(default=0, name="NCPU")
    mem_total: int = 0
    containers_running: int = 0
    system_time: datetime | None = None
    default_runtime: Text = ""
    swarm: SwarmInfo = SwarmInfo()
