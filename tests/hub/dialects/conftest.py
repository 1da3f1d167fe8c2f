"""A hub that runs plans, and one with authentication, for the end-to-end tests of dialects."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.hub.dialects.servers import asking_hub, working_hub
from tests.servers.hub import HubServer


@pytest.fixture(scope="session")
def hub() -> Iterator[HubServer]:
    """Its agents take their time, so that something can happen in the middle of their work."""
    with working_hub(pace=0.15, task_seconds=30) as server:
        yield server


@pytest.fixture(scope="session")
def asking() -> Iterator[HubServer]:
    with asking_hub(max_connections_per_principal=4, task_seconds=3) as server:
        yield server
