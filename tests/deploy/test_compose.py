"""deploy/compose: the file agrees with the hub's settings and limits and with nginx's configuration.

The slow test runs what it says as local processes: the commands of its hubs and workers in the image's environment, with
Redis, PostgreSQL and nginx. Only addresses and ports differ.
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, closing, suppress
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from broadcasters.log import log_of
from hub.config.settings import Settings, load, unknown_variables
from hub.process.serving import GRACE
from hub.process.workers import SPARE_FILES
from tests.broadcasters.log import conftest
from tests.deploy.compose import COMPOSE, services
from tests.deploy.image import Image, ImageProcess
from tests.deploy.test_monitoring import names, queries
from tests.hub.tokens import token
from tests.plan_engine.event_rules import events_of, violations
from tests.servers.nginx import NginxServer
from tests.servers.postgres import PostgresServer
from tests.servers.process import RedisServer, eventually, free_port

VARIABLES = {
    "PLANCAST_AUTH_SECRET": "correct horse battery staple, and then some",
    "REDIS_PASSWORD": "redis-password",
    "POSTGRES_PASSWORD": "postgres-password",
}
SERVICES = services(VARIABLES)
HUBS = ["hub-1", "hub-2"]
SETTINGS = Settings()
certificate = conftest.certificate


# --- what the file says


@pytest.mark.parametrize("missing", VARIABLES)
def test_every_secret_must_be_set(missing: str) -> None:
    with pytest.raises(KeyError, match=missing):
        services({name: value for name, value in VARIABLES.items() if name != missing})


@pytest.mark.parametrize("name", [*HUBS, "worker"])
def test_a_service_has_valid_settings_only(name: str) -> None:
    variables = SERVICES[name]["environment"]
    assert unknown_variables(variables) == {}
    settings = load(variables)
    assert settings.log.startswith("redis://:redis-password@redis:")
    assert settings.engine_db == "postgresql://plancast:postgres-password@postgres:5432/plancast"


def test_hubs_have_time_to_drain_and_enough_files() -> None:
    for name in HUBS:
        assert int(SERVICES[name]["stop_grace_period"].removesuffix("s")) >= SETTINGS.drain_seconds + GRACE + 20
        assert SERVICES[name]["ulimits"]["nofile"] >= SETTINGS.max_connections + SPARE_FILES


def test_a_worker_is_probed_at_its_port() -> None:
    worker = SERVICES["worker"]
    settings = load(worker["environment"])
    assert worker["expose"] == [str(settings.probe_port)]
    assert "/readyz" in worker["healthcheck"]["test"][-1]


def test_nginx_and_hubs_know_each_other() -> None:
    hubs = [SERVICES[name]["networks"]["front"]["ipv4_address"] for name in HUBS]
    assert (
        re.findall(r"^server (\S+):8000 fail_timeout=1s;$", (COMPOSE / "hubs.conf").read_text(), re.MULTILINE) == hubs
    )
    proxy = SERVICES["nginx"]["networks"]["front"]["ipv4_address"]
    assert [SERVICES[name]["environment"]["PLANCAST_PROXIES"] for name in HUBS] == [proxy, proxy]


def test_only_nginx_can_be_reached_from_outside() -> None:
    assert [name for name, service in SERVICES.items() if service.get("ports")] == ["nginx"]


def test_every_mounted_file_exists() -> None:
    mounted = [volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", ())]
    paths = [COMPOSE / path for path in mounted if path.startswith(".") and path != "./certificates"]
    assert len(paths) == 3
    assert [path for path in paths if not path.is_file()] == []
    certificates = re.findall(r"/etc/ssl/plancast/(\w+\.pem)", (COMPOSE / "../nginx.conf").read_text())
    assert certificates == ["fullchain.pem", "privkey.pem"]


def test_redis_keeps_every_acknowledged_event() -> None:
    command = SERVICES["redis"]["command"]
    options = dict(zip(command[1::2], command[2::2], strict=True))
    assert options["--appendfsync"] == "always"
    assert options["--maxmemory-policy"] == "noeviction"
    assert options["--requirepass"] == VARIABLES["REDIS_PASSWORD"]


# --- what it runs


class Stack:
    """The hubs and workers of the file, each with its command in the image, behind nginx."""

    def __init__(self, image: Image, redis: RedisServer, postgres: PostgresServer, certificate: Path) -> None:
        self.hubs: dict[str, ImageProcess] = {}
        self.workers: list[ImageProcess] = []
        self.ports = {name: free_port() for name in HUBS}
        self.nginx = NginxServer([*self.ports.values()], certificate, compose=True)
        self._image = image
        self._addresses = {"redis:6379": f"127.0.0.1:{redis.port}", "postgres:5432": f"127.0.0.1:{postgres.port}"}
        self._home = image.folder / "tmp"
        self._home.mkdir(exist_ok=True)
        self._home.chmod(0o1777)

    def start_hub(self, name: str) -> None:
        """Returns when the health check of the file succeeds."""
        hub = self.hubs[name] = self._image.start(self._variables(name), *SERVICES[name]["command"])
        eventually(f"{name} is healthy", lambda: hub.ended or self.healthy(name))
        assert not hub.ended, hub.output

    def healthy(self, name: str) -> bool:
        kind, *check = SERVICES[name]["healthcheck"]["test"]
        assert kind == "CMD"
        return self._image.run(self._variables(name), *check).returncode == 0

    def start_worker(self) -> None:
        """Returns when the health check of the file succeeds."""
        self.ports["worker"] = free_port()
        worker = self._image.start(self._variables("worker"), *SERVICES["worker"]["command"])
        self.workers.append(worker)
        eventually("a worker is healthy", lambda: worker.ended or self.healthy("worker"))
        assert not worker.ended, worker.output

    def close(self) -> None:
        for process in (*self.hubs.values(), *self.workers):
            process.close()

    def _variables(self, name: str) -> dict[str, str]:
        """The environment of this service, with local addresses instead of those of its networks."""
        here = {"HOME": str(self._home)}
        if name in HUBS:
            here |= {
                "PLANCAST_HOST": "127.0.0.1",
                "PLANCAST_PORT": str(self.ports[name]),
                "PLANCAST_PROXIES": "127.0.0.1",
            }
        else:
            here |= {"PLANCAST_PROBE_HOST": "127.0.0.1", "PLANCAST_PROBE_PORT": str(self.ports["worker"])}
        return {variable: self._local(value) for variable, value in SERVICES[name]["environment"].items()} | here

    def _local(self, value: str) -> str:
        for address, here in self._addresses.items():
            value = value.replace(f"@{address}", f"@{here}")
        return value


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[RedisServer, PostgresServer]]:
    command = SERVICES["redis"]["command"]
    pairs = zip(command[1::2], command[2::2], strict=True)
    options = {name.removeprefix("--").replace("-", "_"): value for name, value in pairs}
    with RedisServer(password=options.pop("requirepass"), **options) as redis, PostgresServer() as postgres:
        yield redis, postgres


@pytest.fixture(scope="module")
def stack(image: Image, servers: tuple[RedisServer, PostgresServer], certificate: Path) -> Iterator[Stack]:
    with closing(Stack(image, *servers, certificate)) as stack:
        for name in HUBS:
            stack.start_hub(name)
        for _ in range(SERVICES["worker"]["deploy"]["replicas"]):
            stack.start_worker()
        with stack.nginx:
            yield stack


def client_of(nginx: NginxServer) -> httpx.AsyncClient:
    claims = {"sub": "ada", "exp": int(time.time()) + 900, "plans": {"*": ["read", "start", "input", "signal"]}}
    headers = {"Authorization": f"Bearer {token(claims, VARIABLES['PLANCAST_AUTH_SECRET'])}"}
    return httpx.AsyncClient(base_url=nginx.url, verify=nginx.tls, headers=headers, timeout=60)


class Watcher:
    """A client that follows a plan through nginx, connects again from its position, and answers the plan's questions."""

    def __init__(self, client: httpx.AsyncClient, nginx: NginxServer, plan_id: str) -> None:
        self.plan_id = plan_id
        self.offsets: list[int] = []
        self.connections = 0
        self.close_codes: list[int | None] = []
        self._client, self._nginx = client, nginx
        self._position: Any = "start"
        self._changed = asyncio.Event()

    async def run(self) -> str:
        """Returns the status with which the plan ends."""
        while True:
            with suppress(OSError, InvalidHandshake):
                async with connect(
                    self._nginx.ws,
                    ssl=self._nginx.tls,
                    proxy=None,
                    additional_headers={"Authorization": self._client.headers["Authorization"]},
                ) as socket:
                    self.connections += 1
                    try:
                        return await self._follow(socket)
                    except ConnectionClosed as closed:
                        self.close_codes.append(closed.rcvd.code if closed.rcvd else None)
            await asyncio.sleep(0.1)

    async def until(self, events: int) -> None:
        async with asyncio.timeout(90):
            while len(self.offsets) < events:
                self._changed.clear()
                await self._changed.wait()

    async def _follow(self, socket: ClientConnection) -> str:
        await socket.send(json.dumps({"type": "subscribe_plan", "plan_id": self.plan_id, "since": self._position}))
        while True:
            frame = json.loads(await socket.recv())
            if frame["type"] == "snapshot":
                raise AssertionError(f"events of {self.plan_id} were lost: got a snapshot")
            if "data" not in frame:
                continue
            self.offsets += range(frame.get("first", frame["offset"]), frame["offset"] + 1)
            self._position = {"epoch": frame["epoch"], "offset": frame["offset"]}
            self._changed.set()
            if frame["type"] == "input_request":
                await self._answer(frame["data"])
            if frame["type"] == "plan_update" and frame["data"].get("status") in ("completed", "error", "cancelled"):
                return str(frame["data"]["status"])

    async def _answer(self, question: dict[str, Any]) -> None:
        path = f"/api/plans/{self.plan_id}/inputs/{question['request_id']}"
        while True:
            response = await self._client.post(path, json={"answer": "yes"})
            if response.status_code not in (502, 503):
                break
        assert response.status_code < 300 or response.status_code == 409, response.text


async def start(client: httpx.AsyncClient, template: str, given: dict[str, Any]) -> str:
    response = await client.post("/api/plans", json={"template": template, "input": given})
    assert response.status_code == 202, response.text
    return str(response.json()["plan_id"])


def working(database: str) -> dict[str, list[str]]:
    """The workers' names, each with the plans that it is running."""
    found: dict[str, list[str]] = {}
    with psycopg.connect(database) as connection:
        query = "SELECT executor_id, workflow_uuid FROM plancast.workflow_status WHERE status = 'PENDING'"
        for worker, plan_id in connection.execute(query).fetchall():
            found.setdefault(worker, []).append(plan_id)
    return found


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_nothing_is_lost_when_a_hub_drains_and_a_worker_is_killed(
    stack: Stack, servers: tuple[RedisServer, PostgresServer]
) -> None:
    redis, postgres = servers
    async with client_of(stack.nginx) as client, asyncio.TaskGroup() as group:
        page = await client.get("/")
        assert "text/html" in page.headers["content-type"]
        request = {"request": "sales by region are uneven"}
        plans = [await start(client, "business_operations", request) for _ in range(4)]
        watchers = [Watcher(client, stack.nginx, plan_id) for plan_id in plans for _ in range(2)]
        ends = [group.create_task(watcher.run()) for watcher in watchers]
        for watcher in watchers:
            await watcher.until(events=8)

        at_work = await asyncio.to_thread(working, postgres.url)
        victim = next(worker for worker in stack.workers if any(name in worker.output for name in at_work))
        victim.signal(signal.SIGKILL)
        assert victim.wait() != 0
        before = [watcher.connections for watcher in watchers]
        drained = stack.hubs["hub-1"]
        drained.signal(signal.SIGTERM)
        assert await asyncio.to_thread(drained.wait) == 0, drained.output
        assert not await asyncio.to_thread(stack.healthy, "hub-1")
        assert sum(watcher.connections for watcher in watchers) > sum(before)
        await asyncio.to_thread(stack.start_hub, "hub-1")

        assert [await end for end in ends] == ["completed"] * len(ends)
        assert {code for watcher in watchers for code in watcher.close_codes} == {1012}
    async with AsyncExitStack() as exits:
        log = log_of(redis.url)
        exits.push_async_callback(log.close)
        await log.open()
        for watcher in watchers:
            events = await events_of(log, watcher.plan_id)
            assert watcher.offsets == [event.offset for event in events]
            assert violations(events) == []


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_alerts_and_dashboard_use_metrics_that_running_hubs_and_workers_export(stack: Stack) -> None:
    if stack.workers[-1].ended:
        await asyncio.to_thread(stack.start_worker)
    async with httpx.AsyncClient() as client:
        urls = [f"http://127.0.0.1:{stack.ports[name]}/metrics" for name in ("hub-1", "worker")]
        texts = [(await client.get(url)).text for url in urls]
    families = {family.name for text in texts for family in text_string_to_metric_families(text)}
    used = {name for _, query in queries() for name in names(query)} - {"up", "ALERTS", "plancast_worker_age_seconds"}
    assert {name for name in used if re.sub(r"_(total|bucket)$", "", name) not in families} == set()
