"""Whatever an app's files say, what is done to its secrets is what the plan said, and no more.

Of made-up recipes each change either ends as done and the oracle finds nothing amiss, or it is
refused while planning for one of the reasons that there may be; it never fails half way.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings

import opskit
from opskit.demo.dockerd import DockerdFleet
from opskit.demo.fleet import write_contexts
from opskit.errors import InputError
from opskit.secrets.value import Secret
from tests import oracle
from tests.recipes import Change, Kind, Mount, Recipe, Service, refusals, stories
from tests.recipes import Secret as Declared
from tests.stage import APP, SERVER, Stage, staged
from tests.waiting import LIMIT, eventually

pytestmark = pytest.mark.slow

ANY = "Restarts the services whose specs the files change."
Story = tuple[Recipe, tuple[Change, ...]]


class Play:
    """An app of a made-up recipe on a stage, and the oracle that watches it."""

    def __init__(self, stage: Stage, recipe: Recipe) -> None:
        self.stage, self.recipe = stage, recipe
        self.docker = oracle.Docker(stage.host)
        self.folder = stage.root / "abra" / "recipes" / "shop"
        self.templates = dict[str, str]()

    def prepare(self) -> None:
        """Write the files, and make the secrets and the network that come from elsewhere."""
        self.stage.env_file.parent.mkdir(parents=True)
        self.stage.env_file.write_bytes(self.recipe.env(self.stage.stack).encode())
        self.folder.mkdir(parents=True)
        for name, text in self.recipe.files().items():
            (self.folder / name).write_text(text)
        write_contexts(self.stage.root / "docker", {SERVER: self.stage.host})
        names = dict.fromkeys(one.name(self.stage.stack) for one in self.recipe.secrets)
        for name in names:
            one = next(one for one in self.recipe.secrets if one.name(self.stage.stack) == name)
            options = [f"--label={key}={text}" for key, text in one.labels.items()]
            options += ["--template-driver=golang"] if one.template else []
            self.docker("secret", "create", *options, name, "-", stdin=one.value)
        if self.recipe.network == "outer":
            self.docker("network", "create", "-d", "overlay", f"{self.stage.stack}_outer")

    def clean(self) -> None:
        """Remove what the stage does not."""
        stack = self.stage.stack
        for kind, name in (("stack", stack), ("network", f"{stack}_outer")):
            if kind == "stack" or self.recipe.network == "outer":
                eventually(
                    lambda kind=kind, name=name: self.docker.run(kind, "rm", name).returncode == 0,
                    f"{kind} {name} to go",
                )

    def look(self) -> oracle.Seen:
        return oracle.settled(self.docker, self.stage.stack, self.stage.env_file)

    @property
    def compose_files(self) -> list[Path]:
        return [self.folder / name for name in self.recipe.compose_files]

    @property
    def environment(self) -> dict[str, str]:
        said = oracle.variables(self.stage.env_file.read_bytes().decode())
        return {**said, "GREETING_VERSION": "v3"}

    def declared(self) -> dict[oracle.Place, oracle.Mount]:
        return oracle.declared(self.compose_files, self.environment, self.stage.stack)

    def plan(self, change: Change) -> opskit.Plan:
        fleet = opskit.Fleet.from_abra()
        options = opskit.Options(deploy=change.mode, stable=0, timeout=LIMIT)
        match change.verb:
            case "rotate":
                rows = [(SERVER, APP, name) for name in change.names]
                return fleet.plan_rotate(rows, options)
            case "insert":
                return fleet.plan_insert(APP, change.names[0], Secret("given"), options=options)
            case "deploy":
                return fleet.plan_deploy(APP, options)

    def perform(self, change: Change) -> None:
        """Plan and apply a change, and let the oracle judge."""
        expected = refusals(self.recipe, change)
        before, declared = self.look(), self.declared()
        if expected:
            with pytest.raises(InputError, match="|".join(expected)):
                self.plan(change)
            assert oracle.differences(before, self.look(), oracle.Said()) == []
            return
        plan = self.plan(change)
        run = plan.apply()
        assert run.status == "done", run.errors
        after, now = self.look(), self.declared()
        said = oracle.said(
            plan.changes.to_dict("records"),
            self.stage.stack,
            self.recipe.named(self.stage.stack),
            {place: now[place].secret for place in now if now[place] != declared.get(place)},
            deploys=change.mode == "stack",
            may_restart=change.verb == "deploy" and ANY in plan.data.consequences.impact,
            given="given" if change.verb == "insert" else "",
            lengths=self.recipe.lengths if change.verb == "rotate" else {},
        )
        if change.verb == "deploy":
            told = {one.variable for one in self.recipe.secrets} & after.variables.keys()
            said = replace(said, versions={key: after.variables[key] for key in told})
        elif change.mode == "stack":
            # Lines that the .env got since the last deploy reach the containers with this one.
            notes = " ".join(plan.changes["note"].dropna())
            named = ", ".join(re.findall(r"other environment \(([^)]*)\)", notes)).split(", ")
            told = {key: text for key, text in after.variables.items() if key in named}
            said = replace(said, versions={**told, **said.versions})
        found = [*oracle.undeclared(after, now), *oracle.differences(before, after, said)]
        assert not found, (change, found, plan.changes.to_dict("records"))

    def deploy(self) -> None:
        """Deploy it for the first time, and let the oracle judge."""
        change = Change(verb="deploy")
        if refusals(self.recipe, change):
            with pytest.raises(InputError, match=refusals(self.recipe, change)[0]):
                self.plan(change)
            self.deploy_by_hand()
        else:
            run = self.plan(change).apply()
            assert run.status == "done", run.errors
        found = oracle.undeclared(self.look(), self.declared())
        assert not found, found

    def deploy_by_hand(self) -> None:
        """Deploy it as somebody may who has docker only."""
        files = [f"--compose-file={file}" for file in self.compose_files]
        command = ["stack", "deploy", "--resolve-image=never", *files, self.stage.stack]
        self.docker(*command, **self.environment)


def play(host: str, story: Story) -> None:
    recipe, changes = story
    with (
        pytest.MonkeyPatch.context() as patch,
        tempfile.TemporaryDirectory(prefix="opskit-recipe-test-") as folder,
    ):
        for stage in staged(Path(folder), host, patch):
            one = Play(stage, recipe)
            one.prepare()
            try:
                note(stage.env_file.read_text())
                one.deploy()
                for change in changes:
                    one.perform(change)
            finally:
                one.clean()


def tell(host: str, examples: int) -> None:
    """Play many stories; what fails is told as it was drawn, as smaller ones cost minutes."""
    check = settings(
        max_examples=examples,
        deadline=None,
        derandomize="CI" in os.environ,
        phases=[Phase.explicit, Phase.reuse, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    check(given(stories())(lambda story: play(host, story)))()


LONG = pytest.mark.nightly
NUMBERS = pytest.mark.parametrize("examples", [12, pytest.param(200, marks=LONG)])


@NUMBERS
def test_a_change_of_any_recipe_is_as_planned_on_the_embedded_engine(
    embedded_host: str, examples: int
) -> None:
    tell(embedded_host, examples)


@pytest.mark.swarm
@pytest.mark.nightly
def test_a_change_of_any_recipe_is_as_planned_on_a_real_swarm(real_fleet: DockerdFleet) -> None:
    tell(real_fleet.host("srv1"), 150)


def app_of(*services: Service, secrets: tuple[str, ...] = ("token",)) -> Recipe:
    """Return a recipe of some services and secrets of which nothing is out of the ordinary."""
    made = [
        Declared(
            key=key,
            middle=key,
            variable=f"SECRET_{key.upper()}_VERSION",
            version="v1",
            line="%",
            labels={},
        )
        for key in secrets
    ]
    return Recipe(secrets=tuple(made), services=services, network="host", newline="\n", ending=True)


def service(name: str, *files: str, kind: Kind = "one") -> Service:
    """Return a service that has the secret ``token`` as these files."""
    mounts = tuple(Mount(key="token", said={"target": file}) for file in files)
    return Service(name=name, kind=kind, mounts=mounts, later=(), configured=False)


def restarts(plan: opskit.Plan) -> list[str]:
    return sorted(name for names in plan.changes["restarts"] for name in names)


@contextmanager
def deployed(stage: Stage, recipe: Recipe) -> Iterator[Play]:
    one = Play(stage, recipe)
    one.prepare()
    try:
        one.deploy()
        yield one
    finally:
        one.clean()


def test_a_plan_that_deploys_names_the_jobs_that_run_once_more(embedded_stage: Stage) -> None:
    recipe = app_of(service("app", "token"), service("worker", kind="job"))
    with deployed(embedded_stage, recipe) as one:
        again = Change(verb="deploy")
        assert restarts(one.plan(again)) == ["worker"]
        assert "worker runs once more" in one.plan(again).changes["note"][0]
        one.perform(again)
        rotation = Change(verb="rotate", names=("token",))
        plan = one.plan(rotation)
        assert restarts(plan) == ["app", "worker"]
        assert "worker runs once more" in plan.changes["note"][1]
        one.perform(rotation)


def test_a_rotation_that_deploys_names_and_awaits_the_app_that_is_told_of_all_versions(
    embedded_stage: Stage,
) -> None:
    recipe = app_of(service("app"), service("worker", "token"), service("other"))
    with deployed(embedded_stage, recipe) as one:
        rotation = Change(verb="rotate", names=("token",))
        plan = one.plan(rotation)
        assert restarts(plan) == ["app", "worker"]
        waits = plan.calls.query("action == 'verify-stack'")["call"].tolist()
        assert [f"{embedded_stage.stack}_app converged" in call for call in waits] == [True]
        one.perform(rotation)
        one.perform(replace(rotation, mode="services"))


def test_what_docker_would_merge_away_is_not_deployed_and_a_rotation_by_services_keeps_it(
    embedded_stage: Stage,
) -> None:
    recipe = app_of(service("app", "first", "second"))
    with deployed(embedded_stage, recipe) as one:
        for verb in ("deploy", "rotate"):
            with pytest.raises(InputError, match="app has token in more than one file"):
                one.plan(Change(verb=verb, names=("token",)))
        one.perform(Change(verb="rotate", names=("token",), mode="services"))
        mounts = one.look().services[f"{embedded_stage.stack}_app"].mounts
        assert {file: mount.secret for file, mount in mounts.items()} == dict.fromkeys(
            ("first", "second"), f"{embedded_stage.stack}_token_v2"
        )
