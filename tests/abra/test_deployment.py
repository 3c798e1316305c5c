"""What a stack is deployed from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from opskit.abra.deployment import deployment
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
