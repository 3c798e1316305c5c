"""What a stack is deployed from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from opskit.abra.deployment import deployment
from opskit.abra.layout import read_tree
from opskit.errors import InputError
from tests.abra.docker import docker_stack_config


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "servers" / "coop.example").mkdir(parents=True)
    recipe = tmp_path / "recipes" / "shop"
    (recipe / "overlays").mkdir(parents=True)
    (recipe / "compose.yml").write_text("services: {app: {image: x}}\n")
    (recipe / "overlays" / "mail.yml").write_text("services: {mail: {image: x}}\n")
    (recipe / "abra.sh").write_text("export CONF_VERSION=v3\n")
    return tmp_path


def declare(root: Path, text: str, name: str = "coop.example/shop.example") -> None:
    (root / "servers" / f"{name}.env").write_text(text)


def test_it_has_the_files_and_the_whole_environment(root: Path) -> None:
    declare(
        root,
        "TYPE=shop\nCOMPOSE_FILE=compose.yml:overlays/mail.yml\nCONF_VERSION=v1\n"
        "SMTP_PASSWORD='hunter2'\n",
    )
    with deployment(root, "coop.example", "shop.example") as found:
        overlay = json.loads(Path(found.overlays[0]).read_text())
    recipe = root / "recipes" / "shop"

    assert found.stack == "shop_example"
    assert found.folder == str(recipe)
    assert found.compose_files == (
        str(recipe / "compose.yml"),
        str(recipe / "overlays" / "mail.yml"),
    )
    assert found.environment == {
        "TYPE": "shop",
        "COMPOSE_FILE": "compose.yml:overlays/mail.yml",
        "SMTP_PASSWORD": "hunter2",
        "STACK_NAME": "shop_example",
        "CONF_VERSION": "v3",
    }
    assert "hunter2" not in repr(found)
    assert not Path(found.overlays[0]).exists()
    assert overlay["services"]["app"]["environment"] == sorted(found.environment)
    assert "hunter2" not in json.dumps(overlay)


def test_an_old_file_outside_a_folder_is_the_default_servers(root: Path) -> None:
    declare(root, "TYPE=shop\n", name="old.example")

    with deployment(root, "default", "old.example") as found:
        assert found.stack == "old_example"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("TYPE=gone\n", r"shop\.example\.env:1: the recipe gone is not in "),
        ("A=1\n", r"the recipe \(none\) is not in "),
        ("TYPE=shop\nCOMPOSE_FILE=compose.yml:x.yml\n", r"env:2: the recipe has no x\.yml"),
        ("TYPE=shop\nX='\n", r"shop\.example\.env:2: the quote"),
    ],
)
def test_less_than_what_was_written_is_not_deployed(root: Path, text: str, message: str) -> None:
    declare(root, text)

    with (
        pytest.raises(InputError, match=message) as refused,
        deployment(root, "coop.example", "shop.example"),
    ):
        pass
    assert refused.value.remedy


def test_a_faulty_compose_file_is_not_deployed(root: Path) -> None:
    declare(root, "TYPE=shop\n")
    (root / "recipes" / "shop" / "compose.yml").write_text("services:\n- app\n")

    with (
        pytest.raises(InputError, match=r"compose\.yml:2: services is no mapping"),
        deployment(root, "coop.example", "shop.example"),
    ):
        pass


def test_a_variable_without_which_docker_reads_nothing_is_named_before_anything_else(
    root: Path,
) -> None:
    file = root / "recipes" / "shop" / "compose.yml"
    file.write_text(
        'version: "3.8"\nservices: {app: {image: "x:${TAG:?}", labels: {a: "${A:?why}"}}}\n'
        "secrets: {token: {file: gone}}\n"
    )
    declare(root, "TYPE=shop\n")
    said = docker_stack_config([file], {})
    assert said.returncode != 0
    with (
        pytest.raises(InputError, match=r"the compose files: .*TAG must") as refused,
        deployment(root, "coop.example", "shop.example"),
    ):
        pass
    assert "the variable A must be set" in refused.value.what
    assert refused.value.remedy == "Set it there: opskit app config coop.example/shop.example"
    (root / "recipes" / "shop" / "gone").touch()
    declare(root, "TYPE=shop\nTAG=1\nA=2\n")
    with deployment(root, "coop.example", "shop.example") as found:
        assert found.services["app"].image == "x:1"


@pytest.mark.parametrize(
    ("server", "app"),
    [
        ("coop.example", "nowhere.example"),
        ("coop.example", ".hidden"),
        ("coop.example", "../coop.example/shop.example"),
        ("..", "outside.example"),
        ("", "loose.example"),
        ("other.example", "loose.example"),
    ],
)
def test_an_app_that_is_not_there_is_named(root: Path, server: str, app: str) -> None:
    declare(root, "TYPE=shop\n")
    declare(root, "TYPE=shop\n", name="loose.example")
    declare(root, "TYPE=shop\n", name="../outside.example")
    declare(root, "TYPE=shop\n", name="coop.example/.hidden")

    with pytest.raises(InputError, match="has no app called"), deployment(root, server, app):
        pass


_EXTERNAL = """
services: {app: {image: x, secrets: [token], networks: [net]}}
secrets: {token: {external: "${THERE}", file: token.txt, name: "${STACK_NAME}_token_v1"}}
networks: {net: {external: "${THERE}"}}
"""


@pytest.mark.parametrize(("said", "is_external"), [("true", True), ("YES", True), ("no", False)])
def test_what_is_external_may_stand_in_a_variable(root: Path, said: str, is_external: bool) -> None:
    recipe = root / "recipes" / "shop"
    (recipe / "compose.yml").write_text(_EXTERNAL)
    (recipe / "token.txt").write_text("x")
    declare(root, f"TYPE=shop\nTHERE={said}\n")
    with deployment(root, "coop.example", "shop.example") as found:
        assert [one.swarm_name for one in found.needed] == (
            ["shop_example_token_v1"] if is_external else []
        )
        assert found.networks == (("net",) if is_external else ())
    ((app,),) = [one.apps for one in read_tree(root).servers]
    assert [one.generate for one in app.secrets] == [is_external]


@pytest.mark.parametrize("said", ["", "1", "maybe"])
def test_an_external_that_is_neither_yes_nor_no_is_refused_as_docker_does(
    root: Path, said: str
) -> None:
    (root / "recipes" / "shop" / "compose.yml").write_text(_EXTERNAL)
    declare(root, f"TYPE=shop\nTHERE={said}\n")
    why = r"secrets\.token\.external comes to neither true nor false"
    with (
        pytest.raises(InputError, match=why),
        deployment(root, "coop.example", "shop.example"),
    ):
        pass
    ((app,),) = [one.apps for one in read_tree(root).servers]
    assert any("secrets.token.external" in one.what for one in app.problems)
