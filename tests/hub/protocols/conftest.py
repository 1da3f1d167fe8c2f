"""A hub that runs plans, and one with authentication, for tests of protocols that need no settings of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.hub.dialects.servers import asking_hub, working_hub
from tests.servers.hub import HubServer


@pytest.fixture(scope="package")
def hub() -> Iterator[HubServer]:
    with working_hub() as server:
        yield server


@pytest.fixture(scope="package")
def asking() -> Iterator[HubServer]:
    with asking_hub() as server:
        yield server
