"""Workers of Dask or ipyparallel: some started on this machine, or those of a cluster that runs.

Nothing of opskit needs this to read by workers: any executor will do. It is here so that a notebook
can try it in one line, and say in one sentence what is missing where it cannot.
"""

from __future__ import annotations

import atexit
import gc
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Self

from opskit.arguments import check_choice, check_count, check_text
from opskit.errors import InputError
from opskit.files.temporary import Folder

_Started = tuple[Executor, list[Callable[[], object]]]


class Workers:
    """Workers who read servers, and their executor.

    Parameters
    ----------
    kind
        ``dask`` or ``ipyparallel``.
    at
        Where the cluster is: the address of Dask's scheduler, or the connection file of
        ipyparallel's client. When empty, workers are started here; they end with `close`, else
        with this process, unless it is killed: ipyparallel's then go on.
    count
        How many to start here.

    Attributes
    ----------
    executor
        What `opskit.Fleet` takes; ``None``, by which it reads from here, where the package is
        not installed.

    Raises
    ------
    InputError
        One of them is not what it must be, or no cluster is there.

    Examples
    --------
    >>> from opskit.clusters import Workers
    >>> with Workers("dask", count=1) as workers:
    ...     fleet = opskit.Fleet.from_abra(executor=workers.executor)
    ...     print(len(fleet.snapshot().servers))
    6
    """

    def __init__(self, kind: str, *, at: str = "", count: int = 2) -> None:
        check_choice("kind", kind, _KINDS)
        check_text("at", at, "Give an address, or leave it out.", empty=True)
        check_count("count", count, least=1)
        self._kind, self._where = kind, at or f"{count} on this machine"
        self.executor: Executor | None = None
        self._ends: list[Callable[[], object]] = []
        if find_spec(_PACKAGES[kind]) is not None:
            try:
                self.executor, self._ends = _KINDS[kind](at, count)
            except (OSError, TypeError, ValueError) as error:
                if not at:
                    raise
                raise InputError(
                    f"at is {at!r}, and {_PACKAGES[kind]} reaches no cluster there ({error}).",
                    remedy="Give the address or the connection file of one that runs, or leave it "
                    "out: then workers are started here.",
                ) from error
            atexit.register(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        if self.executor is None:
            return (
                f"<Workers: none, as {_PACKAGES[self._kind]} is not installed here, so that "
                f"servers are read from here. Install it: pip install 'opskit[{self._kind}]'>"
            )
        closed = "" if self._ends else ", closed"
        return f"<Workers of {self._kind}: {self._where}{closed}>"

    def close(self) -> None:
        """End the workers that were started here, and the connection to others."""
        ends, self._ends = self._ends, []
        for end in reversed(ends):
            # One that is gone already needs no end.
            with suppress(OSError, RuntimeError, TimeoutError):
                end()
        atexit.unregister(self.close)


def _dask(at: str, count: int) -> _Started:
    dask: Any = import_module("distributed")
    # One that failed before ends when it is collected. In the thread that is started now, it would
    # wait for the lock that this one holds meanwhile: ten seconds, and nothing would be started.
    gc.collect()
    if at:
        client = dask.Client(at)
        return client.get_executor(), [client.close]
    # IPython's `%reset` takes it away, and what starts processes asks for it.
    vars(sys.modules["__main__"]).setdefault("__spec__", None)
    cluster = dask.LocalCluster(
        n_workers=count, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
    )
    client = dask.Client(cluster)
    return client.get_executor(), [cluster.close, client.close]


def _ipyparallel(at: str, count: int) -> _Started:
    ipyparallel: Any = import_module("ipyparallel")
    if at:
        client = ipyparallel.Client(at)
        return client.load_balanced_view().executor, [client.close]
    # Not among the profiles in the user's home.
    folder = Folder("ipyparallel")
    cluster = ipyparallel.Cluster(n=count, profile_dir=str(folder.path), log_level=_ERRORS)
    client = cluster.start_and_connect_sync(activate=False)
    client.wait_for_engines(count, interactive=False)
    ends: list[Callable[[], object]] = [folder.remove, cluster.stop_cluster_sync, client.close]
    return client.load_balanced_view().executor, ends


_ERRORS = 40
_KINDS: Mapping[str, Callable[[str, int], _Started]] = {
    "dask": _dask,
    "ipyparallel": _ipyparallel,
}
_PACKAGES = {"dask": "distributed", "ipyparallel": "ipyparallel"}
