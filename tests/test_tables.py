"""The tables: whatever one of them holds, every skin offers, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
import typer

import opskit
from opskit import forms
from opskit.cli.app import app, run
from opskit.cli.change import tell
from opskit.errors import InputError, OpskitError
from opskit.kinds.hooks import HOOKS, NO_HOOK, HookSpec, parse_hook
from opskit.kinds.hooks import OFFERED as HOOKS_OFFERED
from opskit.kinds.modes import MODES, PROGRAMS, WHOLE, DeployMode, StackMode
from opskit.kinds.statuses import STATUSES, WAYS, RunStatus
from opskit.plan.hooks import looks_like_database_password
from opskit.run.run import Run
from opskit.secrets.generate import CHARSETS, GENERATORS
from opskit.secrets.generate import OFFERED as GENERATORS_OFFERED
from opskit.settings import Settings
from opskit.steps.hook import container_command
from opskit.widgets.choices import options_from
from opskit.widgets.kinds import FIELDS, FORMS
from opskit.widgets.words import ways_on
from tests.stage import Stage
from tests.widgets.test_page import Desk

JS = Path(__file__).parents[1] / "opskit" / "widgets" / "js"


def commands(tree: Any, path: str = "opskit") -> Iterator[tuple[str, Any]]:
    """List every command with its path."""
    for name, command in getattr(tree, "commands", {}).items():
        yield f"{path} {name}", command
        yield from commands(command, f"{path} {name}")


COMMANDS = dict(commands(typer.main.get_command(app)))


def options(name: str) -> list[Any]:
    """Find an option in every command that has it."""
    found = [one for command in COMMANDS.values() for one in command.params if name in one.opts]
    assert found
    return found


def choices(field: str) -> list[str]:
    return [value for value, _ in FIELDS[field] if value]


@pytest.fixture
def refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., bool]:
    """Tell whether the command line takes a word for none of its choices."""
    (tmp_path / "servers").mkdir()
    monkeypatch.setenv("ABRA_DIR", str(tmp_path))

    def say(*arguments: str) -> bool:
        assert run([*arguments, "--dry-run"]) == 2, "there is no such app"
        return "is none of" in " ".join(capsys.readouterr().err.split())

    return say


# -- forms ----------------------------------------------------------------------------------


def test_each_kind_of_form_has_a_function_and_each_function_a_kind() -> None:
    assert set(forms.__all__) - {"SecretInput", "ask", "app", "attention"} == set(FORMS)


@pytest.mark.parametrize("kind", sorted(set(FORMS) - {"approve"}))
def test_what_a_form_says_does_the_same_elsewhere_is_there(kind: str) -> None:
    form = FORMS[kind]
    path = re.sub(r" \{.*", "", form.command)
    wanted = form.command.count("{")
    arguments = [one.name for one in COMMANDS[path].params if one.param_type_name == "argument"]
    assert len(arguments) >= wanted
    (name,) = re.findall(r"fleet\.(\w+)\(", form.call)
    assert hasattr(opskit.Fleet, name)


def test_a_form_function_gives_a_form_of_its_kind(tmp_path: Path) -> None:
    (tmp_path / "servers").mkdir()
    for kind in sorted(set(FORMS) - {"approve"}):
        form = getattr(forms, kind)(opskit.Fleet(tmp_path))
        assert form.title == FORMS[kind].title
        assert form.state["form"] == FORMS[kind].to_json()


def test_the_browser_is_told_what_to_draw_and_decides_nothing_by_a_kind() -> None:
    for kind, form in FORMS.items():
        told = form.to_json()
        assert set(told["fields"]) == set(form.fields) <= set(FIELDS)
        for script in JS.glob("*.js"):
            # A click and what a value is sealed for have names of their own.
            text = script.read_text().replace('send("approve"', "").replace('purpose: "insert"', "")
            assert f'"{kind}"' not in text, script.name
    drawn = (JS / "choose.js").read_text() + (JS / "form.js").read_text()
    for field in FIELDS:
        assert re.search(rf"fields\.{field}\b", drawn), field


def test_an_apps_page_offers_each_form_about_one_app_unless_its_entry_says_never(
    embedded_stage: Stage,
) -> None:
    embedded_stage.set_up()
    offered = {kind for kind, form in FORMS.items() if form.on_page != "never"}
    assert {FORMS[kind].chooses for kind in offered} == {"app", "secrets", "secret"}
    assert set(FORMS) - offered == {"approve", "browse", "remove"}
    actions = Desk().read()["actions"]
    assert {one["kind"]: one["label"] for one in actions} == {
        kind: FORMS[kind].label for kind in offered
    }


def test_a_form_that_is_added_is_offered_on_the_page_where_its_entry_says(
    embedded_stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedded_stage.set_up()
    polish = replace(FORMS["restart"], verb="Polish", app_obstacle=lambda row: f"{row.app} shines.")
    monkeypatch.setitem(FORMS, "polish", polish)
    monkeypatch.setitem(FORMS, "swap", replace(FORMS["rotate"], verb="Swap", beside=1))
    desk = Desk()
    state = desk.read()
    *_, added, swap, last = state["actions"]
    assert (added["kind"], added["label"]) == ("polish", "Polish…")
    assert added["obstacle"] == "shop.example shines."
    assert (swap["label"], swap["obstacle"], last["kind"]) == ("Swap…", "", "undeploy")
    assert {one["action"]["label"] for one in state["page"]["secrets"]} == {"Swap…"}
    desk.click("open", kind="polish")
    desk.click("open", kind="swap", secret="token")
    assert [at for _, at, *_ in desk.opened] == ["swap token"]


# -- generators -----------------------------------------------------------------------------


def test_command_line_and_forms_offer_every_generator(refused: Callable[..., bool]) -> None:
    names = [name for name, one in GENERATORS.items() if not one.takes_command]
    assert list(GENERATORS_OFFERED) == choices("generator") == names
    for option in options("--generator"):
        assert option.metavar == f"[{'|'.join(names)}]"
    rotate = ("secret", "rotate", "shop", "token", "--generator")
    assert not any(refused(*rotate, name) for name in names)
    assert refused(*rotate, "klingon")


@pytest.mark.parametrize("name", sorted(GENERATORS))
def test_every_generator_is_a_policy_and_nothing_else_is(name: str) -> None:
    program = ("true",) if GENERATORS[name].takes_command else ()
    policy = opskit.Policy(generator=name, command=program)
    assert policy.describe()
    bits = policy.entropy_bits()
    assert bits is None or bits >= 128
    if not program:
        assert options_from({"generator": name}).policy == policy
    with pytest.raises(InputError, match="klingon"):
        opskit.Policy(generator="klingon")
    with pytest.raises(InputError, match="klingon"):
        options_from({"generator": "klingon"})


def test_command_line_and_forms_offer_every_charset() -> None:
    assert choices("charset") == list(CHARSETS)
    for option in options("--charset"):
        assert option.help.startswith(", ".join(CHARSETS))


# -- hooks ----------------------------------------------------------------------------------


def test_command_line_and_forms_offer_every_hook() -> None:
    assert choices("hook") == [*HOOKS_OFFERED, NO_HOOK]
    assert NO_HOOK not in HOOKS
    for option in options("--hook"):
        assert all(name in option.help for name in HOOKS)


@pytest.mark.parametrize("name", sorted(HOOKS))
def test_every_hook_can_be_written_down_and_has_its_script(name: str) -> None:
    text = f"{name}:db change it" if HOOKS[name].takes_program else name
    spec = parse_hook(text)
    assert spec.kind == name
    assert opskit.Options(hook=text).hook == text
    assert "sh" in container_command(spec, "set", "/run/secrets/x")
    assert msgspec.json.decode(msgspec.json.encode(spec), type=HookSpec) == spec
    assert bool(HOOKS[name].images) != HOOKS[name].takes_program


@pytest.mark.parametrize("name", HOOKS_OFFERED)
def test_a_secret_named_after_a_database_looks_like_its_password(name: str) -> None:
    assert looks_like_database_password(f"{name}_password")


def test_another_hook_is_refused_and_the_refusal_names_each() -> None:
    with pytest.raises(InputError) as error:
        parse_hook("klingon")
    assert all(name in str(error.value) for name in HOOKS)


# -- deploy modes ---------------------------------------------------------------------------


def test_settings_options_command_line_and_forms_take_every_deploy_mode(
    refused: Callable[..., bool],
) -> None:
    assert list(MODES) == list(get_args(DeployMode)) == choices("deploy")
    assert list(WHOLE) == list(PROGRAMS) == list(get_args(StackMode)) == choices("deploy_with")
    for option in options("--deploy"):
        assert option.metavar == f"[{'|'.join(MODES)}]"
    for option in options("--with"):
        assert option.metavar == f"[{'|'.join(WHOLE)}]"
    for name in MODES:
        assert msgspec.convert({"deploy": name}, Settings).deploy == name
        assert options_from({"deploy": name}).deploy == opskit.Options(deploy=name).deploy == name
        assert not refused("secret", "rotate", "shop", "token", "--deploy", name)
        assert refused("app", "deploy", "shop", "--with", name) == (name not in WHOLE)
    for wrong in ("service", "swarm"):
        assert refused("secret", "rotate", "shop", "token", "--deploy", wrong)
        with pytest.raises(InputError, match=wrong):
            opskit.Options(deploy=wrong)  # type: ignore[arg-type]


def test_a_mode_deploys_the_whole_stack_or_updates_services_or_neither() -> None:
    assert [name for name, mode in MODES.items() if not (mode.deploys or mode.switches)] == ["none"]
    assert not [name for name, mode in MODES.items() if mode.deploys and mode.switches]
    assert all(MODES[name].whole == name for name in PROGRAMS)


# -- how a run stands -----------------------------------------------------------------------

# Whether a status is good, and what may be done about a run of it.
STANDS: dict[RunStatus, tuple[str, tuple[str, ...]]] = {
    "running": ("good", ()),
    "done": ("good", ("rollback",)),
    "rolled-back": ("warn", ()),
    "partly-rolled-back": ("warn", ("rollback",)),
    "failed": ("bad", ("resume", "rollback", "give-up")),
    "interrupted": ("bad", ("resume", "rollback", "give-up")),
    "crashed": ("bad", ("resume", "rollback", "give-up")),
    "given-up": ("idle", ()),
}


def test_the_table_has_every_status() -> None:
    names = {name for part in get_args(RunStatus) for name in get_args(part)}
    assert names == set(STATUSES) == set(STANDS)


@pytest.mark.parametrize("status", STANDS)
def test_command_line_forms_and_python_offer_the_same_ways_on(
    status: RunStatus, capsys: pytest.CaptureFixture[str]
) -> None:
    tone, ways = STANDS[status]
    assert STATUSES[status].tone == tone
    ended = Run(id="r1", status=status)
    assert [one["way"] for one in ways_on(status)] == list(ways)
    if status == "done":
        assert ended.raise_for_status() is ended
        return
    with pytest.raises(OpskitError) as raised:
        ended.raise_for_status()
    with pytest.raises(typer.Exit):
        tell(ended)
    for text in (str(raised.value), capsys.readouterr().out):
        assert re.findall(r"opskit (resume|rollback|give-up) r1", text) == list(ways), text


def test_each_way_on_is_a_command_and_a_method_of_a_fleet() -> None:
    for way in WAYS:
        assert f"opskit {way}" in COMMANDS
        assert hasattr(opskit.Fleet, way.replace("-", "_"))


def test_the_browser_is_told_how_a_run_stands_and_decides_nothing_by_its_status() -> None:
    # Steps are running, done or failed, too.
    for script in JS.glob("*.js"):
        for name in (set(STATUSES) - {"running", "done", "failed"}) | set(WAYS):
            assert not re.search(rf"[\"'\s]{name}[\"':]", script.read_text()), (script.name, name)
        assert "result.status" not in script.read_text(), script.name
