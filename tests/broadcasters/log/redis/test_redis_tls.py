"""TLS, by `rediss://`; and event loops other than asyncio's own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from broadcasters.errors import LogMisconfigured, LogUnavailable
from broadcasters.log.redis import RedisLog, opening
from tests.contract.clients import Producer, RecordingWatcher, all_of
from tests.servers import RedisServer
from tests.servers.process import free_port


@pytest.fixture(scope="module")
def tls_url(certificate: Path) -> Iterator[str]:
    port = free_port()
    files: dict[str, Any] = {"tls_cert_file": certificate, "tls_key_file": certificate.with_suffix(".key")}
    with RedisServer(tls_port=port, tls_ca_cert_file=certificate, tls_auth_clients="no", **files):
        yield f"rediss://127.0.0.1:{port}"


async def says_and_hears(url: str) -> None:
    log, heard = RedisLog(url), RecordingWatcher()
    await log.open()
    await log.watch("plan", heard)
    await Producer("plan").batch("one", "x" * 200_000).to(log)
    await heard.until_offset(2)
    assert (await all_of(log, "plan"))[0] == "one"
    await log.delete("plan")
    await log.close()


async def test_with_the_authority_of_the_certificate(tls_url: str, certificate: Path) -> None:
    await says_and_hears(f"{tls_url}?ca={certificate}")


async def test_unverified_when_asked_for(tls_url: str) -> None:
    await says_and_hears(f"{tls_url}?verify=no")


async def test_a_certificate_of_an_unknown_authority(tls_url: str) -> None:
    with pytest.raises(LogMisconfigured, match="not trusted"):
        await RedisLog(tls_url).open()


async def test_tls_to_a_server_without_tls(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "OPEN_PATIENCE", 0.3)  # it waits for more, politely
    with pytest.raises(LogUnavailable):
        await RedisLog(f"rediss://127.0.0.1:{server.port}?verify=no").open()


def test_with_uvloop(server: RedisServer, prefix: str, tls_url: str) -> None:
    uvloop = pytest.importorskip("uvloop")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(says_and_hears(f"{server.url}?prefix={prefix}"))
        runner.run(says_and_hears(f"{tls_url}?verify=no"))
