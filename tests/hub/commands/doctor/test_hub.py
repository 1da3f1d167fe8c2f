"""`plancast doctor`: a hub, its token, and proxies in front of it that do what bad configurations do."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from broadcasters.log.http.link import HubUrl
from hub.commands.doctor.finding import Finding, Section, clock_finding, examine
from hub.commands.doctor.hubs import checks_of_hub, is_hub
from hub.commands.doctor.logs import checks_of_log
from tests.hub.commands.command_lines import CommandLines
from tests.hub.tokens import SECRET, token
from tests.servers.http_proxy import HttpProxy
from tests.servers.hub import HubServer
from tests.servers.process import free_port


@pytest.fixture(scope="module")
def guarded() -> Iterator[HubServer]:
    """A hub that requires tokens, with a short heartbeat."""
    with (
        tempfile.TemporaryDirectory(prefix="plancast-doctor-") as directory,
        HubServer(
            f"sqlite:///{directory}/plans.db",
            auth_secret=SECRET,
            logs_level="warning",
            constants={
                "hub.transports.admission.HEARTBEAT_SECONDS": 0.5,
                "hub.transports.native.HEARTBEAT_SECONDS": 0.5,
            },
        ) as hub,
    ):
        yield hub


async def examined(url: str, given: str | None = None, *, idle: bool = False) -> dict[str, Finding]:
    """The findings of the hub at this address, by name."""
    [(_, findings)] = await examine([Section("hub", url, checks_of_hub(HubUrl(url, given), idle=idle))])
    return {finding.name: finding for finding in findings}


def grant(seconds: float = 3600, **plans: list[str]) -> str:
    return token(
        {"sub": "ada", "exp": time.time() + seconds, "plans": {f"{name}*": verbs for name, verbs in plans.items()}}
    )


async def test_a_hub_in_order(development_hub: HubServer) -> None:
    found = await examined(development_hub.url)
    assert list(found) == ["reachable", "clock", "ready", "token", "websocket", "streams", "page"]
    assert {finding.status for finding in found.values()} <= {"ok", "warning"}
    assert found["page"].status == "ok" or "not built" in found["page"].found
    assert found["token"].found == "none needed: this hub has no authentication"


async def test_a_proxy_that_passes_everything_on(development_hub: HubServer) -> None:
    async with HttpProxy(development_hub.port) as proxy:
        found = await examined(proxy.url)
    assert [found[name].status for name in ("reachable", "websocket", "streams")] == ["ok"] * 3


async def test_a_proxy_that_drops_the_upgrade(development_hub: HubServer) -> None:
    async with HttpProxy(development_hub.port, upgrades=False) as proxy:
        found = await examined(proxy.url)
    assert found["websocket"].status == "failed"
    assert "does not pass on" in found["websocket"].found
    assert "proxy_set_header Upgrade $http_upgrade" in found["websocket"].fix
    assert found["streams"].status == "ok"


async def test_a_proxy_that_buffers(development_hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.commands.doctor.hubs.AT_ONCE_S", 0.5)
    async with HttpProxy(development_hub.port, buffers=True) as proxy:
        found = await examined(proxy.url)
    assert found["streams"].status == "failed"
    assert "proxy_buffering off" in found["streams"].fix


async def test_a_proxy_under_a_name_that_the_hub_does_not_know(guarded: HubServer) -> None:
    """The hub compares the page's origin with the Host header that the proxy sends."""
    async with HttpProxy(guarded.port, host="inside") as proxy:
        found = await examined(proxy.url, grant(plan=["read"]))
    assert found["websocket"].status == "failed"
    assert found["websocket"].fix.endswith(f"export PLANCAST_ORIGINS={proxy.url}")


async def test_a_quiet_connection(guarded: HubServer) -> None:
    """The hub's ping arrives, unless a proxy closes quiet connections before."""
    given = grant(plan=["read"])
    assert (await examined(guarded.url, given, idle=True))["idle"].status == "ok"
    async with HttpProxy(guarded.port, idle_s=0.1) as proxy:
        idle = (await examined(proxy.url, given, idle=True))["idle"]
    assert idle.status == "failed"
    assert "proxy_read_timeout" in idle.fix


@pytest.mark.parametrize(
    ("given", "status", "found", "fix"),
    [
        (
            lambda: None,
            "failed",
            "the hub requires one, and PLANCAST_TOKEN is not set",
            "plancast token NAME --plan '*=read'",
        ),
        (
            lambda: grant(-3600, team=["input"]),
            "failed",
            "expired 60 minutes ago",
            "plancast token ada --plan 'team*=input'",
        ),
        (lambda: grant(plan=["read"])[:-2] + "xx", "failed", "the token is not valid here", "plancast token NAME"),
        (lambda: "gossip", "failed", "the token is not valid here", "plancast token NAME"),
        (
            lambda: grant(200, plan=["read"]),
            "warning",
            "ada may read in plan*; valid for 3 minutes",
            "plancast token ada",
        ),
        (lambda: grant(), "warning", "ada has no rights", "plancast token ada"),
        (
            lambda: grant(plan=["read"], team=["publish"]),
            "ok",
            "publish in team*; read in plan*; valid for 60 minutes",
            "",
        ),
    ],
)
async def test_tokens(given: Callable[[], str | None], status: str, found: str, fix: str, guarded: HubServer) -> None:
    result = await examined(guarded.url, given())
    token = result["token"]
    assert token.status == status
    assert found in token.found
    assert fix in token.fix
    reads = "read in" in token.found
    assert (result["streams"].status == "ok") is reads


async def test_publishing_through_a_hub(guarded: HubServer) -> None:
    for given, status in ((grant(plan=["publish"]), "ok"), (grant(plan=["read"]), "warning"), ("gossip", "skipped")):
        [(_, [publishing])] = await examine([Section("log", "", checks_of_log(f"{guarded.url}?token={given}"))])
        assert publishing.status == status


async def test_no_hub(development_hub: HubServer) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    assert not await is_hub(url)
    assert await is_hub(development_hub.url)
    found = await examined(url)
    assert list(found) == ["reachable"]
    assert found["reachable"].status == "failed"
    assert found["reachable"].fix == f"plancast serve --port {url.rpartition(':')[2]}"


def test_clocks_that_differ() -> None:
    assert clock_finding(0.001, 0.001, "Redis").status == "ok"
    assert clock_finding(-2.5, 1.0, "Redis").status == "ok"  # it may be 1.5 s
    behind = clock_finding(-30, 0.5, "Redis")
    assert behind.status == "warning"
    assert behind.found.startswith("Redis's is 30 s behind this machine's")
    assert clock_finding(3600, 0.5, "the hub").status == "failed"


def test_the_command(
    guarded: HubServer, development_hub: HubServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = CommandLines(monkeypatch, capsys, PLANCAST_LOG=guarded.url, PLANCAST_TOKEN=grant(-5, plan=["read"]))
    done = lines.run("plancast doctor --json")
    checks: dict[str, Any] = {one["check"]: one for one in done.objects}
    assert done.code == 1
    assert checks["hub.token"]["status"] == "failed"
    assert checks["program.settings"]["status"] == "ok"
    assert {one["status"] for one in checks.values()} <= {"ok", "skipped", "warning", "failed"}
    shown = lines.run("plancast doctor")
    assert shown.code == 1
    assert re.search(r"✗ token        expired \d+ s", shown.out)
    assert shown.out.splitlines()[-1].startswith("1 failed")
    assert lines.ok(f"plancast doctor {development_hub.url}").out.splitlines()[-1].endswith(" good")
