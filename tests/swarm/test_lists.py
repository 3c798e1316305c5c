"""What the lists of an engine say, whatever their order."""

from __future__ import annotations

import json
from itertools import permutations
from typing import Any

import pytest

from opskit.swarm import lists
from opskit.swarm.lists import Listing

NAMES = ["a", "b", "c"]


def listed(kind: Listing[Any], name: str) -> dict[str, Any]:
    """Return an object of a list, as an engine sends it."""
    if kind is lists.VOLUMES:
        return {"Name": name}
    if kind is lists.NETWORKS:
        return {"Id": name, "Name": "same"}
    return {"ID": name, "CreatedAt": "2026-11-01T00:00:00Z", "Spec": {"Name": "same"}}


@pytest.mark.parametrize(
    "kind",
    [lists.NODES, lists.SERVICES, lists.TASKS, lists.SECRETS, lists.CONFIGS, lists.NETWORKS,
     lists.VOLUMES],
    ids=lambda kind: kind.path,
)  # fmt: skip
def test_equal_contents_are_equal_in_whatever_order_they_come(kind: Listing[Any]) -> None:
    def read(names: tuple[str, ...]) -> Any:
        found = [listed(kind, name) for name in names]
        body = {"Volumes": found} if kind is lists.VOLUMES else found
        return kind.read(json.dumps(body).encode(), "one")

    first, *others = map(read, permutations(NAMES))
    assert len(first) == 3
    assert all(other == first for other in others)
