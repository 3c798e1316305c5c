"""From abra's folder to declared servers, apps and secrets."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from opskit.abra.layout import app_names, default_root, read_tree, server_names
from opskit.abra.model import Declared, DeclaredApp, DeclaredSecret
from opskit.errors import InputError
from tests.abra.docker import docker_stack_config

COMPOSE = """
services:
  app:
    image: x
    ports: [25:25]
    secrets: [db_password]
  db:
    secrets:
      - source: db_password
        target: other_name
secrets:
  db_password:
    external: true
    name: ${STACK_NAME}_db_password_${SECRET_DB_PASSWORD_VERSION}
  unused:
    external: true
    name: ${STACK_NAME}_unused_v1
"""
Write = Callable[[str, str], Path]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "servers" / "one.example").mkdir(parents=True)
    (tmp_path / "recipes").mkdir()
    return tmp_path


@pytest.fixture
def write(root: Path) -> Write:
    def put(name: str, text: str) -> Path:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return put


def only_app(declared: Declared) -> DeclaredApp:
    (app,) = [app for server in declared.servers for app in server.apps]
    return app


def app_of(write: Write, root: Path, env: str, compose: str = COMPOSE) -> DeclaredApp:
    write("recipes/shop/compose.yml", compose)
    write("servers/one.example/shop.example.env", f"TYPE=shop:1.2.0+3\n{env}")
    return only_app(read_tree(root))


def secret_of(app: DeclaredApp) -> DeclaredSecret:
    (secret,) = app.secrets
    return secret


def test_a_secret_is_what_the_enabled_services_use(root: Path, write: Write) -> None:
    app = app_of(write, root, "DOMAIN=d\nSECRET_DB_PASSWORD_VERSION=v3 # length=32 charset=hex\n")

    assert (app.server, app.name, app.domain) == ("one.example", "shop.example", "d")
    assert (app.recipe, app.recipe_version, app.stack) == ("shop", "1.2.0+3", "shop_example")
    assert secret_of(app) == DeclaredSecret(
        name="db_password",
        version="v3",
        swarm_name="shop_example_db_password_v3",
        env_key="SECRET_DB_PASSWORD_VERSION",
        env_line=3,
        generate=True,
        length=32,
        charset="hex",
        services=("app", "db"),
        shared=False,
        key="db_password",
        mounts=(("app", "db_password"), ("db", "other_name")),
    )
    assert not app.problems


@pytest.mark.parametrize(
    ("name", "key", "version", "short"),
    [
        ("${STACK_NAME}_x_${SECRET_OVH_CONSUMER_KEY}", "SECRET_OVH_CONSUMER_KEY", "v4", "x"),
        ("${STACK_NAME}_oidc_${OIDC_CLIENT_SECRET_VERSION}", "OIDC_CLIENT_SECRET_VERSION",
         "2024a", "oidc"),
        ("${STACK_NAME}_x_v2_${SECRET_X_V2_VERSION:-v1}", "SECRET_X_V2_VERSION", "v1", "x_v2"),
        ("${STACK_NAME}_other-name_${V-v7}", "V", "v7", "other-name"),
    ],
)  # fmt: skip
def test_the_version_variable_comes_from_the_name(
    root: Path, write: Write, name: str, key: str, version: str, short: str
) -> None:
    compose = (
        f"services: {{app: {{secrets: [k]}}}}\nsecrets: {{k: {{external: true, name: '{name}'}}}}"
    )
    env = "SECRET_OVH_CONSUMER_KEY=v4\nOIDC_CLIENT_SECRET_VERSION=2024a\nSECRET=no\nAPP_VERSION=1\n"
    secret = secret_of(app_of(write, root, env, compose))

    assert (secret.env_key, secret.version, secret.name) == (key, version, short)


def test_a_default_in_the_compose_file_has_no_line(root: Path, write: Write) -> None:
    compose = COMPOSE.replace("DB_PASSWORD_VERSION}", "DB_PASSWORD_VERSION:-v1}")
    secret = secret_of(app_of(write, root, "", compose))

    assert (secret.version, secret.env_line) == ("v1", 0)


def test_an_external_secret_of_another_stack_is_shared(root: Path, write: Write) -> None:
    compose = "services: {app: {secrets: [k]}}\nsecrets: {k: {external: true, name: smtp_v2}}"
    secret = secret_of(app_of(write, root, "", compose))

    assert (secret.swarm_name, secret.name, secret.version) == ("smtp_v2", "smtp", "v2")
    assert secret.shared


def test_overlays_anchors_merges_and_extensions_are_understood(root: Path, write: Write) -> None:
    write(
        "recipes/shop/overlays/compose.mail.yml",
        "x-common: &c\n  secrets: [smtp]\nservices:\n  app:\n    <<: *c\nsecrets:\n"
        "  smtp: {external: true, name: '${STACK_NAME}_smtp_${SECRET_SMTP_VERSION}'}",
    )
    app = app_of(
        write,
        root,
        'COMPOSE_FILE=compose.yml\nCOMPOSE_FILE="$COMPOSE_FILE:overlays/compose.mail.yml"\n'
        "SECRET_SMTP_VERSION=v1 # generate=false\nSECRET_DB_PASSWORD_VERSION=v1\n",
    )

    assert {secret.name: secret.generate for secret in app.secrets} == {
        "db_password": True,
        "smtp": False,
    }


def test_modifiers_fall_back_to_the_sample(root: Path, write: Write) -> None:
    write("recipes/shop/.env.sample", "SECRET_DB_PASSWORD_VERSION=v1 # length=64\n")
    assert secret_of(app_of(write, root, "SECRET_DB_PASSWORD_VERSION=v1\n")).length == 64

    own = app_of(write, root, "SECRET_DB_PASSWORD_VERSION=v1 # length=9\n")
    assert secret_of(own).length == 9


def test_a_value_from_elsewhere_is_so_whatever_else_the_own_line_says(
    root: Path, write: Write
) -> None:
    write("recipes/shop/.env.sample", "#SECRET_DB_PASSWORD_VERSION=v1 # generate=false length=64\n")
    line = "SECRET_DB_PASSWORD_VERSION=v1 # {}\n"
    secret = secret_of(app_of(write, root, line.format("charset=hex")))
    assert (secret.generate, secret.length, secret.charset) == (False, None, "hex")

    assert secret_of(app_of(write, root, line.format("generate=true"))).generate


def test_prose_behind_a_version_does_not_hide_the_samples_marks(root: Path, write: Write) -> None:
    write("recipes/shop/.env.sample", "SECRET_DB_PASSWORD_VERSION=v1 # length=64 charset=hex\n")
    text = "SECRET_DB_PASSWORD_VERSION=v1 # ask mail@example.org, see page=7\n"
    secret = secret_of(app_of(write, root, text))
    assert (secret.length, secret.charset) == (64, "hex")


def test_a_mark_that_cannot_be_read_is_told_with_its_file_and_line(
    root: Path, write: Write
) -> None:
    write("recipes/shop/.env.sample", "# the shop\nSECRET_DB_PASSWORD_VERSION=v1 # generate=no\n")
    app = app_of(write, root, "A=1\nSECRET_DB_PASSWORD_VERSION=v1 # length=0\n")
    secret = secret_of(app)
    found = {problem.what: (problem.path, problem.line) for problem in secret.problems}

    env, sample = str(root / "servers"), str(root / "recipes" / "shop" / ".env.sample")
    (of_generate, of_length) = found
    assert of_generate.startswith("the generate of SECRET_DB_PASSWORD_VERSION is neither")
    assert found[of_generate] == (sample, 2)
    assert of_length.startswith("the length of SECRET_DB_PASSWORD_VERSION is no number")
    assert found[of_length][0].startswith(env)
    assert found[of_length][1] == 3
    # What is known of the app is known all the same.
    assert not app.problems


def test_config_versions_come_from_abra_sh_without_running_it(root: Path, write: Write) -> None:
    write("recipes/shop/abra.sh", 'touch /tmp/x\nexport NGINX_VERSION=v7\nexport B="$(date)"\n')
    compose = (
        "services: {app: {configs: [nginx]}}\n"
        "configs: {nginx: {name: '${STACK_NAME}_nginx_${NGINX_VERSION}', file: n}}"
    )
    (config,) = app_of(write, root, "", compose).configs

    assert (config.name, config.version, config.env_key) == ("nginx", "v7", "NGINX_VERSION")


def test_what_a_function_of_abra_sh_exports_changes_nothing(root: Path, write: Write) -> None:
    script = "export NGINX_VERSION=v7\nf() {\n  export NGINX_VERSION=v9\n\texport A=1\n}\n"
    write("recipes/shop/abra.sh", script)
    compose = (
        "services: {app: {configs: [nginx]}}\n"
        "configs: {nginx: {name: '${STACK_NAME}_nginx_${NGINX_VERSION}${A}', file: n}}"
    )
    (config,) = app_of(write, root, "", compose).configs

    assert config.swarm_name.endswith("_nginx_v7")


@pytest.mark.parametrize("recipe", ["nowhere", "empty"])
def test_without_a_usable_recipe_the_secrets_are_guessed_and_the_note_says_so(
    root: Path, write: Write, recipe: str
) -> None:
    (root / "recipes" / "empty").mkdir()
    write(
        "servers/one.example/a.example.env",
        f"TYPE={recipe}\nSECRET_JWT_VERSION=v1\nOIDC_CLIENT_SECRET_VERSION=v2\nSECRET=x\n"
        "APP_VERSION=3\nNGINX_CONFIG_VERSION=v4\nSECRET_SECRET_KEY_BASE_VERSION=v1\n",
    )
    app = only_app(read_tree(root))

    assert app.guessed
    assert "guessed" in app.note
    assert recipe in app.note
    assert [secret.swarm_name for secret in app.secrets] == [
        "a_example_jwt_v1",
        "a_example_oidc_client_secret_v2",
        "a_example_secret_key_base_v1",
    ]


def test_stack_names_follow_abra(root: Path, write: Write) -> None:
    long = "a" * 50 + ".example"
    for name, text in {
        "with-hyphen.example": "",
        "named.example": "STACK_NAME=own_name",
        long: "",
    }.items():
        write(f"servers/one.example/{name}.env", f"TYPE=x\n{text}\n")
    apps = {app.name: app.stack for app in read_tree(root).servers[0].apps}

    assert apps == {
        "with-hyphen.example": "with-hyphen_example",
        "named.example": "own_name",
        long: "a" * 45,
    }


def test_only_env_files_directly_inside_a_server_are_apps(root: Path, write: Write) -> None:
    for name in ("a.env", "a.env.backup", "README.md", "sub/b.env", ".git/c.env", ".env"):
        write(f"servers/one.example/{name}", "TYPE=x\n")
    write("servers/old.example.env", "TYPE=x\n")
    write("servers/.hidden/x.env", "TYPE=x\n")
    write("servers/one.example/folder.env/x", "")
    write("servers/two.env/b.env", "TYPE=x\n")
    declared = read_tree(root)

    apps = {"default": ["old.example"], "one.example": ["a"], "two.env": ["b"]}
    assert {s.name: [a.name for a in s.apps] for s in declared.servers} == apps
    assert server_names(root) == list(apps)
    assert app_names(root) == apps


def test_symlinked_trees_folders_and_files_are_followed(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / "two.example").mkdir(parents=True)
    (outside / "two.example" / "a.env").write_text("TYPE=x\n")
    (root / "servers" / "two.example").symlink_to(outside / "two.example")
    (root / "servers" / "one.example" / "b.env").symlink_to(outside / "two.example" / "a.env")
    (root / "servers" / "one.example" / "gone.env").symlink_to(outside / "nowhere")
    declared = read_tree(root)

    assert {s.name: [a.name for a in s.apps] for s in declared.servers} == {
        "one.example": ["b", "gone"],
        "two.example": ["a"],
    }
    assert server_names(root) == ["one.example", "two.example"]
    gone = declared.servers[0].apps[1]
    assert "points nowhere" in gone.problems[0].what
    assert "cannot be read" in gone.note


def test_broken_yaml_is_a_problem_with_file_and_line(root: Path, write: Write) -> None:
    app = app_of(write, root, "SECRET_DB_PASSWORD_VERSION=v1\n", "services:\n  app: [\nx: y\n")

    assert app.guessed
    assert app.problems[0].path.endswith("recipes/shop/compose.yml")
    assert app.problems[0].line


def test_a_missing_required_variable_is_a_problem_naming_it(root: Path, write: Write) -> None:
    compose = COMPOSE.replace("DB_PASSWORD_VERSION}", "DB_PASSWORD_VERSION:?set it}")
    (problem,) = app_of(write, root, "", compose).problems

    assert "SECRET_DB_PASSWORD_VERSION" in problem.what


def test_no_value_of_the_env_file_leaves_except_names_and_versions(
    root: Path, write: Write
) -> None:
    app = app_of(write, root, 'SMTP_PASSWORD=hunter2\nX="hunter2\nSECRET_DB_PASSWORD_VERSION=v1\n')

    assert b"hunter2" not in msgspec.json.encode(app)


def test_the_root_is_abra_dir_or_the_home_folder(root: Path, tmp_path: Path) -> None:
    assert default_root({"ABRA_DIR": str(root)}) == root
    with pytest.raises(InputError, match="servers"):
        default_root({"ABRA_DIR": str(tmp_path / "nowhere")})


def test_without_a_home_folder_the_sentence_says_what_to_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unknown(_: Path) -> Path:
        raise RuntimeError

    monkeypatch.setattr(Path, "expanduser", unknown)
    with pytest.raises(InputError, match="Set ABRA_DIR"):
        default_root({})


def test_a_server_without_apps_is_still_a_server(root: Path) -> None:
    (server,) = read_tree(root).servers

    assert (server.name, server.apps) == ("one.example", ())
    assert server.folder == str(root / "servers" / "one.example")


def test_a_link_to_a_server_that_is_gone_is_a_problem(root: Path) -> None:
    (root / "servers" / "moved.example").symlink_to(root / "nowhere")
    declared = read_tree(root)

    assert [server.name for server in declared.servers] == server_names(root) == ["one.example"]
    assert declared.problems[0].path == str(root / "servers" / "moved.example")
    assert "points nowhere" in declared.problems[0].what


def test_a_file_name_that_is_not_utf8_is_an_app_with_a_problem(root: Path) -> None:
    folder = os.fsencode(root / "servers" / "one.example")
    Path(os.fsdecode(folder + b"/caf\xe9.example.env")).write_text("TYPE=x\n")
    declared = read_tree(root)

    assert only_app(declared).name == "caf\\udce9.example"
    assert any("Rename it" in problem.remedy for problem in only_app(declared).problems)
    assert msgspec.json.decode(msgspec.json.encode(declared), type=Declared) == declared


def test_an_env_file_that_is_none_is_still_an_app(root: Path) -> None:
    os.mkfifo(root / "servers" / "one.example" / "pipe.example.env")
    app = only_app(read_tree(root))

    assert (app.name, app.stack, app.env_sha256) == ("pipe.example", "pipe_example", "")
    assert app.guessed
    assert app.problems[0].what == "this is no regular file."


def test_a_changed_recipe_is_read_anew(root: Path, write: Write) -> None:
    env = "SECRET_DB_PASSWORD_VERSION=v1\nSECRET_OTHER_VERSION=v1\n"
    assert secret_of(app_of(write, root, env)).name == "db_password"

    other = COMPOSE.replace("_db_password_", "_ab_password_")
    assert secret_of(app_of(write, root, env, other)).name == "ab_password"


def test_the_hash_is_that_of_the_bytes(root: Path, write: Write) -> None:
    app = app_of(write, root, "DOMAIN=d\n")

    assert app.env_sha256 == hashlib.sha256(Path(app.env_file).read_bytes()).hexdigest()


def test_two_apps_may_come_to_share_a_stack_name(root: Path, write: Write) -> None:
    long = "an-organisation-with-a-very-long-name-indeed."
    for name in (f"{long}one.example", f"{long}two.example"):
        write(f"servers/one.example/{name}.env", "TYPE=x\n")
    stacks = {app.stack for app in read_tree(root).servers[0].apps}

    assert len(stacks) == 1


@pytest.mark.parametrize(
    ("labels", "revision"),
    [
        ('["coop-cloud.${STACK_NAME}.version=1.2.0+3"]', "1.2.0+3"),
        ('{"coop-cloud.${STACK_NAME}.version": 1.2.0+3}', "1.2.0+3"),
        ('["coop-cloud.${STACK_NAME}.app.version=0.1.0"]', "0.1.0"),
        ('["coop-cloud.${STACK_NAME}.version=${X}"]', ""),
        ('["coop-cloud.${STACK_NAME}.version="]', ""),
        ("[]", ""),
    ],
)
def test_without_a_checkout_the_labels_tell_the_revision(
    root: Path, write: Write, labels: str, revision: str
) -> None:
    compose = f"services: {{app: {{deploy: {{labels: {labels}}}}}}}"

    assert app_of(write, root, "", compose).revision == revision


@pytest.mark.slow
@given(st.binary(max_size=120), st.binary(max_size=120))
def test_no_files_at_all_make_it_fail(env: bytes, compose: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name, data in {
            "servers/s/a.env": b"TYPE=r\n" + env,
            "servers/s/b.env": env,
            "recipes/r/compose.yml": compose,
            "recipes/r/abra.sh": env,
            "recipes/r/.env.sample": env,
            "recipes/r/.git/HEAD": env,
            "recipes/r/.git/index": compose,
        }.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(data)
        declared = read_tree(root)

        assert [app.name for app in declared.servers[0].apps] == ["a", "b"]
        assert msgspec.json.decode(msgspec.json.encode(declared), type=Declared) == declared


TWO_KEYS = """
services:
  app:
    image: x
    secrets:
      - {source: session_key, target: session_key}
      - {source: session_key_old, target: session_key_fallback}
secrets:
  session_key: {external: true, name: "${STACK_NAME}_session_key_${SECRET_SESSION_KEY_VERSION}"}
  session_key_old:
    {external: true, name: "${STACK_NAME}_session_key_${SECRET_SESSION_KEY_OLD_VERSION}"}
"""


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_two_keys_of_one_swarm_name_are_told_apart_by_key_and_file(
    root: Path, write: Write, version: str
) -> None:
    env = f"SECRET_SESSION_KEY_VERSION={version}\nSECRET_SESSION_KEY_OLD_VERSION=v1\n"
    new, old = app_of(write, root, env, TWO_KEYS).secrets

    assert (new.name, new.key, new.version, new.mounts) == (
        "session_key", "session_key", version, (("app", "session_key"),),
    )  # fmt: skip
    assert (old.name, old.key, old.version, old.mounts) == (
        "session_key_old", "session_key_old", "v1", (("app", "session_key_fallback"),),
    )  # fmt: skip
    assert new.prefix == old.prefix == "shop_example_session_key_"


def test_two_keys_of_one_name_and_one_variable_are_one_secret(root: Path, write: Write) -> None:
    compose = TWO_KEYS.replace("SECRET_SESSION_KEY_OLD_VERSION", "SECRET_SESSION_KEY_VERSION")
    secret = secret_of(app_of(write, root, "SECRET_SESSION_KEY_VERSION=v1\n", compose))

    assert secret.name == "session_key"
    assert secret.mounts == (("app", "session_key"), ("app", "session_key_fallback"))


def test_a_name_that_comes_to_nothing_is_the_key_as_docker_has_it(root: Path, write: Write) -> None:
    compose = """
version: "3.8"
services: {app: {image: x, secrets: [alpha, beta], configs: [gamma]}}
secrets:
  alpha: {external: true, name: "${UNSET}"}
  beta: {external: true, name: "${UNSET}"}
configs:
  gamma: {external: true, name: "${UNSET}"}
"""
    app = app_of(write, root, "", compose)
    done = docker_stack_config([root / "recipes" / "shop" / "compose.yml"], {})
    found = YAML(typ="safe", pure=True).load(done.stdout)
    names = {one.key: one.swarm_name for one in app.secrets}

    assert names == {"alpha": "alpha", "beta": "beta"}
    assert names == {key: entry["name"] for key, entry in found["secrets"].items()}
    assert [one.swarm_name for one in app.configs] == [found["configs"]["gamma"]["name"]]
    assert [one.what for one in app.problems] == [
        f"the {kind} '{key}': its name: comes to nothing, so docker calls it {key}."
        for kind, key in (("secret", "alpha"), ("secret", "beta"), ("config", "gamma"))
    ]


def test_a_variable_without_which_docker_refuses_the_recipe_is_a_problem(
    root: Path, write: Write
) -> None:
    compose = "services: {app: {image: 'x:${TAG:?say which}'}}\n"
    (problem,) = app_of(write, root, "", compose).problems
    assert problem.what == "docker refuses it: the variable TAG must be set."
    assert not app_of(write, root, "TAG=1\n", compose).problems
