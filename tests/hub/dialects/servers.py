"""Hubs that run plans, for the dialects' tests from end to end; and the rights that their clients have."""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.faults.credentials import AUDIENCE, SECRET
from tests.servers.hub import HubServer

__all__ = ["asking_hub", "working_hub"]


@contextmanager
def working_hub(**settings: Any) -> Generator[HubServer]:
    """In development, with the built-in templates; nothing may go wrong in it."""
    with tempfile.TemporaryDirectory(prefix="plancast-dialects-") as directory:
        log = f"sqlite:///{Path(directory) / 'plans.db'}"
        with HubServer(log, engine="embedded", logs_level="warning", **settings) as hub:
            yield hub
            assert hub.logged("error") == [], hub.output


@contextmanager
def asking_hub(**settings: Any) -> Generator[HubServer]:
    """One with authentication; tokens come from `tests.faults.credentials`."""
    rights: Mapping[str, Any] = {"auth_secret": SECRET, "auth_audience": AUDIENCE}
    with working_hub(**rights, **settings) as hub:
        yield hub
