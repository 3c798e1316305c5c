"""Workers that are started here, and what is said where they cannot be."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import opskit
from opskit import clusters
from opskit.clusters import Workers
from opskit.demo.fleet import DemoFleet
from opskit.errors import InputError
from opskit.lean import without_collecting
from tests.waiting import eventually

Use = Callable[[DemoFleet], Path]


@pytest.mark.parametrize("kind", ["dask", "ipyparallel"])
def test_where_the_package_is_missing_it_says_so_and_servers_are_read_from_here(
    kind: str, use: Use, demo_fleet: DemoFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(demo_fleet)
    monkeypatch.setitem(clusters._PACKAGES, kind, "not_installed_anywhere")  # type: ignore[arg-type]

    with Workers(kind) as workers:
        assert repr(workers) == (
            "<Workers: none, as not_installed_anywhere is not installed here, so that servers are "
            f"read from here. Install it: pip install 'opskit[{kind}]'>"
        )
        snap = opskit.Fleet.from_abra(executor=workers.executor).snapshot()
    assert snap.facts.bare == set()
    assert len(snap.facts.missing()) == 2


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["dask", "ipyparallel"])
def test_workers_end_when_they_are_closed(kind: str) -> None:
    pytest.importorskip(clusters._PACKAGES[kind])
    workers = Workers(kind, count=1)
    assert workers.executor is not None
    process = workers.executor.submit(os.getpid).result()
    assert process != os.getpid()
    assert repr(workers) == f"<Workers of {kind}: 1 on this machine>"

    workers.close()
    workers.close()

    eventually(lambda: not Path(f"/proc/{process}").exists(), "the worker's end")
    assert repr(workers) == f"<Workers of {kind}: 1 on this machine, closed>"


@pytest.mark.slow
def test_the_workers_of_a_cluster_that_runs_go_on_without_us() -> None:
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
    ) as cluster:
        with Workers("dask", at=cluster.scheduler_address) as workers:
            assert repr(workers) == f"<Workers of dask: {cluster.scheduler_address}>"
            assert workers.executor is not None
            assert workers.executor.submit(len, [1, 2]).result() == 2
        with Workers("dask", at=cluster.scheduler_address) as others:
            assert others.executor is not None
            assert others.executor.submit(len, [1]).result() == 1


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: Workers("spark"), "kind is 'spark'. Choose from: dask, ipyparallel."),
        (lambda: Workers("dask", count=0), "count is 0. Give a whole number, 1 or more."),
        (lambda: Workers("dask", at=1), "at is an int, not a text. Give an address, or leave it"),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_such_argument_is_refused(call: Callable[[], object], says: str) -> None:
    with pytest.raises(InputError) as caught:
        call()
    assert str(caught.value).startswith(says)


@pytest.mark.parametrize(
    ("kind", "at", "why"),
    [
        ("dask", "nowhere", "missing port number"),
        ("dask", "tls://127.0.0.1:9", "check your TLS configuration"),
        ("ipyparallel", "/nonexistent/client.json", "/nonexistent/client.json not found"),
    ],
)
def test_a_cluster_that_is_not_there_is_said_to_be_missing(kind: str, at: str, why: str) -> None:
    package = clusters._PACKAGES[kind]
    pytest.importorskip(package)
    with pytest.raises(InputError) as caught:
        Workers(kind, at=at)
    assert str(caught.value).startswith(f"at is {at!r}, and {package} reaches no cluster there (")
    assert why in str(caught.value)


@pytest.mark.slow
def test_an_address_that_failed_does_not_stand_in_the_way_of_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("distributed")

    def told(at: str) -> str:
        with pytest.raises(InputError) as caught:
            Workers("dask", at=at)
        return str(caught.value)

    run = threading.Thread.run

    def collect_and_run(thread: threading.Thread) -> None:
        gc.collect()
        run(thread)

    with without_collecting():
        assert "missing port number" in told("nowhere")
        # What is left of it may be collected by any thread, even by the one that is started now.
        monkeypatch.setattr(threading.Thread, "run", collect_and_run)
        assert "check your TLS configuration" in told("tls://127.0.0.1:9")
