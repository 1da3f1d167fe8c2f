"""H-LOG-3, H-LOG-4, H-LOG-6: the log behind a hub, `plancast serve` as a process of its own, over SQLite and over Redis.
One hub serves all tests; before each of them, the plans of the one before are deleted through the hub."""

from __future__ import annotations

import tempfile
from abc import abstractmethod
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.contract.backends import Backend
from tests.servers import RedisServer
from tests.servers.hub import HubServer


class ThroughHub(Backend):
    @abstractmethod
    def log_of_hub(self) -> str:
        """The log of the hub itself."""

    def start(self) -> None:
        self._hub = HubServer(self.log_of_hub()).start()
        self._client = httpx.Client(base_url=self._hub.url, timeout=20)

    def url(self) -> str:
        while plans := self._plans():
            for plan in plans:
                self._client.delete(f"/api/plans/{plan['plan_id']}")
        return self._hub.url

    def stop(self) -> None:
        self._client.close()
        self._hub.close()

    def _plans(self) -> list[dict[str, Any]]:
        response = self._client.get("/api/plans", params={"limit": 500})
        plans: list[dict[str, Any]] = response.raise_for_status().json()["plans"]
        return plans


class OverSqlite(ThroughHub):
    name = "http-sqlite"

    def log_of_hub(self) -> str:
        self._directory = tempfile.TemporaryDirectory(prefix="plancast-contract-")
        return f"sqlite:///{Path(self._directory.name) / 'plans.db'}"

    def stop(self) -> None:
        super().stop()
        self._directory.cleanup()


class OverRedis(ThroughHub):
    name = "http-redis"
    marks = (pytest.mark.slow,)

    def log_of_hub(self) -> str:
        self._server = RedisServer().start()
        return self._server.url

    def stop(self) -> None:
        super().stop()
        self._server.close()


BACKENDS = [OverSqlite(), OverRedis()]
