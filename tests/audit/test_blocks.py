"""Findings as blocks: what is read and mended together, and what is only counted."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest

import opskit
from opskit.audit.blocks import BY, Block, blocks, counted, counts
from opskit.demo.dockerd import DockerdFleet
from opskit.demo.fleet import DemoFleet
from opskit.views.frame import View

Use = Callable[[DemoFleet | DockerdFleet], Path]
GIT, TRAEFIK = "git.coop.example", "traefik.coop.example"


@pytest.fixture
def findings(use: Use, demo_fleet: DemoFleet) -> View:
    use(demo_fleet)
    return opskit.Fleet.from_abra().snapshot().audit()


def of(found: list[Block], place: str, *secrets: str) -> Block:
    """Return the one block about these secrets of an app."""
    (block,) = (one for one in found if (one.place, one.secrets) == (place, secrets))
    return block


def test_what_one_plan_mends_of_one_secret_is_one_block_as_bad_as_its_worst(
    findings: View,
) -> None:
    block = of(blocks(findings), GIT, "jwt_secret")
    assert block.severity == "high"
    assert len(block.keys) == len(block.what) == 3
    assert (block.remedy, block.fix) == (("deploy the app",), block.keys[:1])


def test_secrets_of_an_app_with_the_same_fault_are_one_block(findings: View) -> None:
    block = of(blocks(findings), TRAEFIK, "ovh_app_secret", "ovh_consumer_key", "usersfile")
    assert len(block.keys) == 3
    assert len(block.what) == 1
    assert block.fix == block.keys
    assert block.remedy == ("insert a value",)


def test_what_one_deploy_mends_of_several_secrets_is_one_block_that_says_of_which(
    findings: View,
) -> None:
    deploy = findings.query("app == @GIT and secret == 'jwt_secret'")
    other = deploy.tail(1).assign(secret="lfs_jwt_secret", key="other")
    (block,) = blocks(View(pd.concat([deploy, other])))
    assert block.secrets == ("jwt_secret", "lfs_jwt_secret")
    assert block.what[0].startswith("jwt_secret: v")
    assert block.what[-1].startswith("lfs_jwt_secret: v")
    assert block.fix == block.keys[:1]


def test_every_finding_is_in_one_block_and_the_worst_come_first(findings: View) -> None:
    found = blocks(findings)
    assert sorted(key for one in found for key in one.keys) == sorted(findings["key"])
    order = [list(counts(findings)).index(one.severity) for one in found]
    assert order == sorted(order)


@pytest.mark.parametrize("by", BY)
def test_blocks_of_one_kind_stand_together(findings: View, by: str) -> None:
    found = blocks(findings, by)
    groups = [one.group(by) for one in found]
    assert sorted(key for one in found for key in one.keys) == sorted(findings["key"])
    assert len({*groups}) == 1 + sum(a != b for a, b in pairwise(groups))


def test_by_check_a_block_holds_findings_of_one(findings: View) -> None:
    check = dict(zip(findings["key"], findings["id"], strict=True))
    for block in blocks(findings, "check"):
        assert {check[key] for key in block.keys} == {block.check}


def test_what_is_for_information_is_counted_by_check(findings: View) -> None:
    worse, mild = counted(findings)
    healthcheck = next(one for one in mild if one.check == "healthcheck-missing")
    rows = findings.query("id == 'healthcheck-missing'")

    assert "info" not in set(worse["severity"])
    assert len(worse) + counts(findings)["info"] == len(findings)
    assert (healthcheck.apps, healthcheck.servers) == (len(rows), rows["server"].nunique())


def test_an_app_whose_name_does_not_tell_its_server_is_named_with_it(findings: View) -> None:
    row = findings.query("app == @GIT").head(1).assign(server="elsewhere.example")
    (block,) = blocks(row)
    assert block.place == f"{GIT} on elsewhere.example"
