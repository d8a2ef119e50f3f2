"""One computing thread: the tests share their cores, and waiting threads slow each other down."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmark.machine import prepare_environment

prepare_environment()

import torch  # noqa: E402 - the environment must be prepared first

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def subnormal_numbers() -> Iterator[None]:
    """Commands flush denormals; hypothesis does not work without them."""
    yield
    torch.set_flush_denormal(False)


LONGEST = "tests/test_submitting.py"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes minutes begins first, so that workers end together."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))
