"""The Engine HTTP API over one server's state: requests in, replies out, no sockets."""

from __future__ import annotations

from opskit.demo.engine.api import cluster, node
from opskit.demo.engine.api.call import Route
from opskit.demo.engine.objects import Refusal

ROUTES: tuple[Route, ...] = (*node.ROUTES, *cluster.ROUTES)


def find_route(method: str, path: str) -> tuple[Route, tuple[str, ...]]:
    """Find who answers a request, or refuse with 404.

    Returns
    -------
    tuple
        The route, and the parts of the path it asks for.
    """
    for route in ROUTES:
        found = route.pattern.fullmatch(path) if route.method == method else None
        if found is not None:
            return route, found.groups()
    raise Refusal(404, "page not found")
