"""Which files `TYPE=recipe:version` deploys, and what abra's labels then say."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from opskit.abra.deployment import Deployment, deployment
from opskit.abra.layout import read_tree
from opskit.abra.model import DeclaredApp
from opskit.errors import InputError
from tests.abra.docker import docker_stack_config
from tests.abra.releases import Releases

COMPOSE = """\
version: "3.8"
services:
  app:
    image: shop:{image}
    environment: [COLOUR=red]
    configs: [web]
    deploy:
      labels:
        - "traefik.enable=true"
        - "coop-cloud.${{STACK_NAME}}.version={version}"
        - "coop-cloud.${{STACK_NAME}}.timeout=${{TIMEOUT:-120}}"
configs:
  web: {{name: "${{STACK_NAME}}_web_${{WEB_VERSION}}", file: conf/web.conf}}
"""
OLD, NEW = "1.0.0+3.1", "2.0.0+4.0"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "servers" / "coop.example").mkdir(parents=True)
    return tmp_path


@pytest.fixture
def recipe(root: Path) -> Releases:
    """A recipe with two releases; the newer is checked out and has been edited."""
    made = Releases(root / "recipes" / "shop")
    for version, image in ((OLD, "3.1"), (NEW, "4.0")):
        made.release(
            version,
            {
                "compose.yml": COMPOSE.format(image=image, version=version),
                "abra.sh": f"export WEB_VERSION=v{version[0]}\n",
                "conf/web.conf": f"release {version}\n",
            },
            message="annotated" if version == OLD else "",
        )
    (made.folder / "conf" / "web.conf").write_text("edited\n")
    return made


def declare(root: Path, text: str) -> Path:
    path = root / "servers" / "coop.example" / "shop.example.env"
    path.write_text(text)
    return path


def image(found: Deployment) -> str:
    return YAML(typ="safe", pure=True).load(Path(found.compose_files[0]).read_text())["services"][
        "app"
    ]["image"]


def labels(found: Deployment) -> dict[str, str]:
    """Give the labels of the service `app` as the docker CLI merges them."""
    done = docker_stack_config([Path(file) for file in found.files], found.environment)
    assert done.returncode == 0, done.stderr
    merged: Any = YAML(typ="safe", pure=True).load(done.stdout)
    return {
        key.removeprefix("coop-cloud.shop_example."): value
        for key, value in merged["services"]["app"]["deploy"]["labels"].items()
    }


def ready(root: Path) -> Any:
    return deployment(root, "coop.example", "shop.example")


@pytest.mark.parametrize("named", ["tag", "commit", "short"])
def test_the_pinned_version_is_deployed_and_the_checkout_left_alone(
    root: Path, recipe: Releases, named: str
) -> None:
    commit = recipe.git("rev-parse", f"{OLD}^{{commit}}")
    pinned = {"tag": OLD, "commit": commit, "short": commit[:8]}[named]
    declare(root, f"TYPE=shop:{pinned}\n")
    before = recipe.state()
    with ready(root) as found:
        assert image(found) == "shop:3.1"
        assert Path(found.folder, "conf", "web.conf").read_text() == f"release {OLD}\n"
        assert found.environment["WEB_VERSION"] == "v1"
        assert (found.version, found.chaos) == (pinned, False)
        assert not Path(found.folder).is_relative_to(recipe.folder)
        assert recipe.state() == before
    assert not Path(found.folder).exists()
    assert recipe.state() == before


def test_without_a_version_the_working_tree_is_deployed(root: Path, recipe: Releases) -> None:
    declare(root, "TYPE=shop\n")
    with ready(root) as found:
        assert found.folder == str(recipe.folder)
        assert image(found) == "shop:4.0"


def test_an_app_that_is_to_update_itself_keeps_saying_so(root: Path, recipe: Releases) -> None:
    declare(root, f"TYPE=shop:{OLD}\n")
    with ready(root) as found:
        assert "autoupdate" not in labels(found)
    declare(root, f"TYPE=shop:{OLD}\nENABLE_AUTO_UPDATE=true\n")
    with ready(root) as found:
        assert labels(found)["autoupdate"] == "true"


@pytest.mark.parametrize("moving", ["main", "HEAD"])
def test_what_means_another_commit_tomorrow_is_no_version(
    root: Path, recipe: Releases, moving: str
) -> None:
    declare(root, f"TYPE=shop:{moving}\n")
    with pytest.raises(InputError, match=f"has no version {moving}"), ready(root):
        pass


def test_an_unknown_version_says_where_it_stands_and_how_to_get_it(
    root: Path, recipe: Releases
) -> None:
    path = declare(root, "DOMAIN=shop.example\nTYPE=shop:9.9.9+1\n")
    with pytest.raises(InputError) as refused, ready(root):
        pass
    assert str(refused.value) == (
        f"{path}:2: the recipe shop has no version 9.9.9+1. Fetch it: "
        f"git -C {recipe.folder} fetch --tags; or pin another version."
    )


def test_a_version_is_never_taken_for_an_option(root: Path, recipe: Releases) -> None:
    declare(root, "TYPE=shop:--all\n")
    with pytest.raises(InputError, match="has no version --all"), ready(root):
        pass


def test_a_fault_in_the_pinned_version_is_named_in_the_recipe(root: Path, recipe: Releases) -> None:
    recipe.release("3.0.0+5", {"compose.yml": "services:\n- app\n"})
    recipe.git("checkout", "-q", "--force", NEW)
    declare(root, "TYPE=shop:3.0.0+5\n")
    with pytest.raises(InputError) as refused, ready(root):
        pass
    assert str(refused.value).startswith(f"{recipe.folder}/compose.yml:2: services is no mapping")


def test_a_folder_without_history_is_only_the_version_it_claims(root: Path) -> None:
    folder = root / "recipes" / "shop"
    (folder / "conf").mkdir(parents=True)
    (folder / "conf" / "web.conf").write_text("the only one\n")
    (folder / "compose.yml").write_text(COMPOSE.format(image="3.1", version=OLD))
    declare(root, f"TYPE=shop:{OLD}\n")
    with ready(root) as found:
        assert (found.version, found.chaos) == (OLD, False)
    declare(root, f"TYPE=shop:{NEW}\n")
    with pytest.raises(InputError, match=r"env:1: 2\.0\.0\+4\.0 is pinned, but .* holds version"):
        ready(root).__enter__()


def test_a_release_is_labelled_as_abra_labels_it(root: Path, recipe: Releases) -> None:
    declare(root, f"TYPE=shop:{OLD}\nTIMEOUT=600\n")
    with ready(root) as found:
        assert labels(found) == {
            "traefik.enable": "true",
            "version": OLD,
            "chaos": "false",
            "recipe": "shop",
            "timeout": "600",
        }
        assert found.timeout == 600.0


def test_edited_files_are_chaos_and_keep_the_version_the_recipe_claims(
    root: Path, recipe: Releases
) -> None:
    declare(root, "TYPE=shop\n")
    with ready(root) as found:
        assert labels(found) == {
            "traefik.enable": "true",
            "version": NEW,
            "chaos": "true",
            "chaos-version": f"{recipe.git('rev-parse', 'HEAD')[:8]}+U",
            "recipe": "shop",
            "timeout": "120",
        }


def test_an_untouched_checkout_of_a_release_is_that_release(root: Path, recipe: Releases) -> None:
    recipe.git("checkout", "-q", "--force", OLD)
    declare(root, "TYPE=shop\n")
    with ready(root) as found:
        assert (found.version, found.chaos) == (OLD, False)


def test_a_version_pinned_in_chaos_is_deployed_only_where_it_is_checked_out(
    root: Path, recipe: Releases
) -> None:
    declare(root, f"TYPE=shop:{recipe.git('rev-parse', 'HEAD')[:8]}+U\n")
    with ready(root) as found:
        assert (found.chaos, found.folder) == (True, str(recipe.folder))
    declare(root, "TYPE=shop:0a1b2c3d+U\n")
    with pytest.raises(InputError, match="0a1b2c3d of shop has changes that no commit holds"):
        ready(root).__enter__()


def test_the_whole_environment_reaches_the_app_and_what_it_sets_itself_stays(
    root: Path, recipe: Releases
) -> None:
    declare(root, "TYPE=shop\nCOLOUR=blue\nPASSWORD='pa$$ word'\n")
    with ready(root) as found:
        done = docker_stack_config([Path(file) for file in found.files], found.environment)
        assert "pa$$ word" not in Path(found.overlays[0]).read_text()
        assert json.loads(Path(found.overlays[0]).read_text())["version"] == "3.8"
    merged: Any = YAML(typ="safe", pure=True).load(done.stdout)
    environment = merged["services"]["app"]["environment"]
    assert environment["COLOUR"] == "red"
    assert (environment["TYPE"], environment["WEB_VERSION"]) == ("shop", "v2")
    # Some versions of the CLI print what they would read again.
    assert environment["PASSWORD"] in {"pa$$ word", "pa$$$$ word"}


SECRET = """\
services: {{app: {{image: x, secrets: [{key}]}}}}
secrets: {{{key}: {{external: true, name: "${{STACK_NAME}}_{key}_${{SECRET_{up}_VERSION}}"}}}}
"""


def read(root: Path) -> DeclaredApp:
    (server,) = read_tree(root).servers
    return server.apps[0]


@pytest.mark.parametrize("packed", [False, True])
def test_what_an_app_declares_is_what_its_pinned_version_declares(root: Path, packed: bool) -> None:
    recipe = Releases(root / "recipes" / "shop")
    for version, key in ((OLD, "old"), (NEW, "new")):
        recipe.release(
            version,
            {
                "compose.yml": SECRET.format(key=key, up=key.upper()),
                ".env.sample": f"SECRET_{key.upper()}_VERSION=v1 # length={len(version)}\n",
            },
            message="annotated",
        )
    commit = recipe.git("rev-parse", f"{OLD}^{{commit}}")
    if packed:
        recipe.git("gc", "-q")
    for pinned in (OLD, commit, commit[:8]):
        declare(root, f"TYPE=shop:{pinned}\nSECRET_OLD_VERSION=v3\n")
        app = read(root)
        assert [secret.swarm_name for secret in app.secrets] == ["shop_example_old_v3"]
        assert app.secrets[0].length == len(OLD)
        assert app.revision == f"{pinned} ({commit[:8]})"
        assert app.problems == ()
    declare(root, "TYPE=shop\nSECRET_NEW_VERSION=v1\n")
    assert [secret.name for secret in read(root).secrets] == ["new"]
    assert read(root).revision.startswith(f"{NEW} (")


def test_an_unknown_version_is_a_problem_with_its_line_and_the_checkout_is_read(
    root: Path, recipe: Releases
) -> None:
    path = declare(root, "DOMAIN=shop.example\nTYPE=shop:9.9.9+1\n")
    app = read(root)
    (problem,) = app.problems
    assert (problem.path, problem.line) == (str(path), 2)
    assert problem.what.startswith("the recipe has no version 9.9.9+1 here")
    assert app.revision.startswith(f"{NEW} (")
    recipe.git("tag", "9.9.9+1")
    assert read(root).problems == ()


@pytest.mark.parametrize("pinned", ["../../HEAD", "--all", "a..b", "HEAD~1", "a b", "@{u}", "*"])
def test_a_pin_that_is_no_version_reads_nothing_else(
    root: Path, recipe: Releases, pinned: str
) -> None:
    declare(root, f"TYPE=shop:{pinned}\n")
    assert "has no version" in read(root).problems[0].what


def test_a_compose_file_the_pinned_version_lacks_is_missing(root: Path, recipe: Releases) -> None:
    (recipe.folder / "compose.mail.yml").write_text("services: {}\n")
    declare(root, f"TYPE=shop:{OLD}\nCOMPOSE_FILE=compose.yml:compose.mail.yml\n")
    assert [problem.what for problem in read(root).problems] == [
        "COMPOSE_FILE names compose.mail.yml, which the recipe does not have."
    ]


@pytest.mark.skipif(os.geteuid() != 0, reason="giving a checkout to another user needs root")
def test_a_checkout_that_another_user_owns_is_named_with_git_s_remedy(
    root: Path, recipe: Releases, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for path in (recipe.folder, recipe.folder / ".git"):
        os.chown(path, 65534, 65534)
    declare(root, f"TYPE=shop:{OLD}\n")
    with pytest.raises(InputError, match=r"another user owns it.*safe\.directory"):
        ready(root).__enter__()
    assert read(root).problems != ()


# -- what a version's folder holds ------------------------------------------------------------


def files_of(folder: Path) -> dict[str, str]:
    """Return the files below a folder, without git's, links followed."""
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".git" not in path.parts
    }


def test_files_are_as_committed_whatever_attributes_say(root: Path) -> None:
    recipe = Releases(root / "recipes" / "shop")
    compose = "services: {app: {image: x}}\n"
    recipe.release(
        OLD,
        {"compose.yml": compose, ".gitattributes": "*.yml text eol=crlf\n", "run.sh": "exit\n"},
    )
    (recipe.folder / "run.sh").chmod(0o755)
    (recipe.folder / "link.yml").symlink_to("compose.yml")
    recipe.release(NEW, {})
    declare(root, f"TYPE=shop:{NEW}\nCOMPOSE_FILE=link.yml\n")
    with ready(root) as found:
        folder = Path(found.folder)
        assert (folder / "compose.yml").read_bytes() == compose.encode()
        assert os.access(folder / "run.sh", os.X_OK)
        assert not os.access(folder / "compose.yml", os.X_OK)
        assert (folder / "link.yml").readlink() == Path("compose.yml")
        assert image(found) == "x"


def test_local_files_are_there_as_after_a_checkout_of_the_version(
    root: Path, tmp_path: Path
) -> None:
    recipe = Releases(root / "recipes" / "tls")
    compose = "services: {app: {image: x}}\n"
    recipe.release(
        OLD, {"compose.yml": compose, ".gitignore": "local/\n*.local.yml\n", "mine.txt": "old\n"}
    )
    recipe.git("rm", "-q", "mine.txt")
    recipe.release(NEW, {"later.txt": "new\n"})
    for name in ("local/ca.pem", "local/deep/key.pem", "notes/untracked.txt", "mine.txt"):
        (recipe.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (recipe.folder / name).write_text(f"local {name}\n")
    (recipe.folder / "compose.local.yml").write_text("services: {local: {image: y}}\n")
    (tmp_path / "elsewhere").write_text("not the recipe's\n")
    (recipe.folder / "local" / "outside").symlink_to(tmp_path / "elsewhere")
    (recipe.folder / "local" / "inside").symlink_to("ca.pem")
    declare(root, f"TYPE=tls:{OLD}\nCOMPOSE_FILE=compose.yml:compose.local.yml\n")
    before = recipe.state()

    with ready(root) as found:
        there = files_of(Path(found.folder))
        assert list(found.services) == ["app", "local"]
    assert recipe.state() == before
    assert read(root).problems == ()

    assert there == {
        ".gitignore": "local/\n*.local.yml\n",
        "compose.local.yml": "services: {local: {image: y}}\n",
        "compose.yml": compose,
        "local/ca.pem": "local local/ca.pem\n",
        "local/deep/key.pem": "local local/deep/key.pem\n",
        "local/inside": "local local/ca.pem\n",
        "mine.txt": "old\n",
        "notes/untracked.txt": "local notes/untracked.txt\n",
    }
    recipe.git("checkout", "-q", "--force", OLD)
    assert files_of(recipe.folder) == {**there, "local/outside": "not the recipe's\n"}


def test_docker_finds_an_ignored_file_that_a_pinned_version_names(root: Path) -> None:
    recipe = Releases(root / "recipes" / "shop")
    compose = (
        'version: "3.8"\nservices: {app: {image: x, configs: [ca]}}\n'
        "configs: {ca: {name: ca_v1, file: ./local/ca.pem}}\n"
    )
    recipe.release(OLD, {"compose.yml": compose, ".gitignore": "local/\n"})
    (recipe.folder / "local").mkdir()
    (recipe.folder / "local" / "ca.pem").write_text("mine\n")
    declare(root, f"TYPE=shop:{OLD}\n")
    with ready(root) as found:
        done = docker_stack_config([Path(file) for file in found.files], found.environment)
        assert done.returncode == 0, done.stderr
        merged: Any = YAML(typ="safe", pure=True).load(done.stdout)
        assert Path(merged["configs"]["ca"]["file"]).read_text() == "mine\n"


@pytest.mark.parametrize(
    "target", ["/etc/passwd", "../../x", "conf/../../x", "up/../etc/x", "/", ".."]
)
def test_a_link_that_leads_out_of_the_version_is_refused(root: Path, target: str) -> None:
    recipe = Releases(root / "recipes" / "shop")
    recipe.release(OLD, {"compose.yml": "services: {}\n", "conf/web.conf": "x\n"})
    (recipe.folder / "conf" / "up").symlink_to("..")
    (recipe.folder / "up").symlink_to(".")
    (recipe.folder / "conf" / "link").symlink_to(target if target[0] == "/" else f"../{target}")
    recipe.release(NEW, {})
    declare(root, f"TYPE=shop:{NEW}\n")
    with pytest.raises(InputError, match=r"has a link that leads out of it, conf/link"):
        ready(root).__enter__()
    declare(root, f"TYPE=shop:{OLD}\n")
    with ready(root) as found:
        assert "conf/web.conf" in files_of(Path(found.folder))


@pytest.mark.parametrize("name", ["..", ".git", "."])
def test_a_tree_that_git_would_not_make_is_refused(root: Path, name: str, tmp_path: Path) -> None:
    recipe = Releases(root / "recipes" / "shop")
    recipe.release(OLD, {"compose.yml": "services: {}\n"})
    blob = bytes.fromhex(recipe.git("rev-parse", "HEAD:compose.yml"))
    inner = b"100644 x\0" + blob
    (tmp_path / "inner").write_bytes(inner)
    tree = recipe.git("hash-object", "-w", "-t", "tree", "--literally", str(tmp_path / "inner"))
    outer = f"40000 {name}\0".encode() + bytes.fromhex(tree)
    (tmp_path / "outer").write_bytes(outer)
    made = recipe.git("hash-object", "-w", "-t", "tree", "--literally", str(tmp_path / "outer"))
    recipe.git("tag", NEW, recipe.git("commit-tree", made, "-m", "evil"))
    declare(root, f"TYPE=shop:{NEW}\n")
    with pytest.raises(InputError, match="has a file called"):
        ready(root).__enter__()


def test_a_link_with_a_folder_of_its_name_writes_nothing_outside(
    root: Path, tmp_path: Path
) -> None:
    recipe = Releases(root / "recipes" / "shop")
    recipe.release(OLD, {"compose.yml": "services: {}\n", "d/x": "x\n"})
    outside = tmp_path / "outside"
    outside.mkdir()
    target = tmp_path / "target"
    target.write_text(str(outside))
    link = bytes.fromhex(recipe.git("hash-object", "-w", str(target)))
    folder = bytes.fromhex(recipe.git("rev-parse", "HEAD:d"))
    (tmp_path / "tree").write_bytes(b"120000 d\0" + link + b"40000 d\0" + folder)
    made = recipe.git("hash-object", "-w", "-t", "tree", "--literally", str(tmp_path / "tree"))
    recipe.git("tag", NEW, recipe.git("commit-tree", made, "-m", "evil"))
    declare(root, f"TYPE=shop:{NEW}\n")
    with pytest.raises(InputError):
        ready(root).__enter__()
    assert list(outside.iterdir()) == []


def test_a_submodule_is_an_empty_folder(root: Path) -> None:
    recipe = Releases(root / "recipes" / "shop")
    recipe.release(OLD, {"compose.yml": "services: {app: {image: x}}\n"})
    recipe.git("-c", "protocol.file.allow=always", "submodule", "add", str(recipe.folder), "sub")
    recipe.release(NEW, {})
    declare(root, f"TYPE=shop:{NEW}\n")
    with ready(root) as found:
        assert list(Path(found.folder, "sub").iterdir()) == []


def test_recipes_that_git_will_not_read_are_told_once_each(
    root: Path, recipe: Releases, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (recipe.folder / ".git" / "index").write_bytes(b"DIRC")
    for app in ("a", "b"):
        (root / "servers" / "coop.example" / f"{app}.example.env").write_text("TYPE=shop\n")
    declared = read_tree(root)
    assert [problem.path for problem in declared.problems] == [str(recipe.folder)]
    assert declared.problems[0].what.startswith("git cannot read this checkout: fatal:")
    monkeypatch.setenv("PATH", str(tmp_path))
    (problem,) = read_tree(root).problems
    assert problem.what == "git is not installed here. Install it: apt-get install git"
