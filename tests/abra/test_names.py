"""Stack and secret names are those abra gives, for any domain and any version."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opskit.abra.app import read_app
from opskit.abra.names import STACK_LIMIT, stack_name
from opskit.abra.recipe import Recipes

LIMIT = 45
"""abra cuts a stack name here, so that names of volumes and secrets still fit."""

SWARM_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
LABEL = st.from_regex(r"[a-z0-9](?:[a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
DOMAIN = st.lists(LABEL, min_size=1, max_size=6).map(".".join)
KEY = st.from_regex(r"[a-z][a-z0-9]{0,8}(?:_[a-z0-9]{1,6}){0,2}", fullmatch=True)
VERSION = st.from_regex(r"v?[0-9]{1,3}(?:\.[0-9]{1,2})?", fullmatch=True)
COMPOSE = """\
services:
  app: {{image: x, secrets: [{key}]}}
secrets:
  {key}: {{external: true, name: "${{STACK_NAME}}_{key}_${{SECRET_{upper}_VERSION}}"}}
"""


@pytest.mark.parametrize(
    ("app", "stack"),
    [
        ("example.com", "example_com"),
        ("cloud.coop.example", "cloud_coop_example"),
        ("my-cloud.coop.example", "my-cloud_coop_example"),
        ("no-domain", "no-domain"),
        ("a.b.c.d.e", "a_b_c_d_e"),
        ("xn--caf-dma.example", "xn--caf-dma_example"),
        ("UPPER.Example", "UPPER_Example"),
        ("under_score.example", "under_score_example"),
        ("1.2.3.4", "1_2_3_4"),
        ("a" * 45, "a" * 45),
        ("a" * 46, "a" * 45),
        ("a" * 41 + ".coop.example", "a" * 41 + "_coo"),
        ("a" * 44 + ".example", "a" * 44 + "_"),
    ],
)
def test_a_domain_becomes_this_stack_name(app: str, stack: str) -> None:
    assert stack_name(app, {}) == stack


@given(DOMAIN)
def test_dots_become_underscores_the_rest_stays_and_the_end_is_cut(domain: str) -> None:
    found = stack_name(domain, {})
    assert STACK_LIMIT == LIMIT
    assert len(found) == min(len(domain), LIMIT)
    assert "." not in found
    assert all(new == ("_" if old == "." else old) for old, new in zip(domain, found, strict=False))


@given(DOMAIN, st.from_regex(r"[a-z0-9_-]{1,60}", fullmatch=True))
def test_a_stack_name_in_the_env_wins_and_is_never_cut(domain: str, named: str) -> None:
    assert stack_name(domain, {"STACK_NAME": named}) == named


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(domain=DOMAIN, key=KEY, version=VERSION)
def test_a_secret_is_called_by_stack_key_and_version(
    tmp_path: Path, domain: str, key: str, version: str
) -> None:
    recipe = tmp_path / "recipes" / "shop"
    recipe.mkdir(parents=True, exist_ok=True)
    (recipe / "compose.yml").write_text(COMPOSE.format(key=key, upper=key.upper()))
    path = tmp_path / "app.env"
    path.write_text(f"TYPE=shop\nSECRET_{key.upper()}_VERSION={version} # length=32\n")
    path = path.rename(tmp_path / f"{domain}.env")
    (secret,) = read_app(Recipes(tmp_path), "coop.example", path).secrets
    path.unlink()

    assert secret.swarm_name == f"{stack_name(domain, {})}_{key}_{version}"
    assert SWARM_NAME.fullmatch(secret.swarm_name)
    # abra takes what follows the last underscore for the version.
    assert (secret.name, secret.version) == (key, secret.swarm_name.rpartition("_")[2])
    assert (secret.env_key, secret.length) == (f"SECRET_{key.upper()}_VERSION", 32)
