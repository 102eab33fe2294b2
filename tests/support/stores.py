"""Fixtures of the feedback store on both databases: `pytest_plugins = ["tests.support.stores"]` in a test module."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.store import Store
from tests.support.postgres import new_schema, running


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a server that all tests share."""
    with running() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a store that is not there yet."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'state' / 'feedback.db'}"
    return new_schema(request.getfixturevalue("postgres"))


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    with contextlib.closing(Store.open(store_url)) as opened:
        yield opened
