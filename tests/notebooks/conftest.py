"""One kernel for a module's notebooks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.notebooks.shipped import Kernel, started


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    with started() as kernel:
        yield kernel
