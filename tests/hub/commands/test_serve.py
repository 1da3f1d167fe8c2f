"""`plancast serve` with an embedded engine, a remote one, or none."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from hub.cli import main
from tests.hub.tokens import SECRET, token
from tests.plan_engine.harness import EngineHarness, statuses
from tests.plan_engine.plans import who_works
from tests.servers import RedisServer
from tests.servers.hub import HubServer

PLANS = "tests.plan_engine.plans"
ROOT = Path(__file__).parents[3]
PUBLIC_KEY = "-----BEGIN PUBLIC KEY-----\nMCow\n-----END PUBLIC KEY-----"


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncGenerator[EngineHarness]:
    async with EngineHarness(tmp_path) as harness:
        yield harness


def hub_of(harness: EngineHarness, **settings: Any) -> HubServer:
    return HubServer(harness.log_url, **{"engine_db": harness.db, "lease": 2, "drain_seconds": 0, **settings})


async def ask(hub: HubServer, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=hub.url, timeout=60, trust_env=False) as client:
        return await client.request(method, path, json=body, headers=headers)


async def start(
    hub: HubServer, harness: EngineHarness, template: str, plan_id: str, *, hands: int = 1, **headers: str
) -> httpx.Response:
    given = {"effects": str(harness.directory / "effects.db"), "hands": hands}
    body = {"template": template, "input": given, "plan_id": plan_id}
    return await ask(hub, "POST", "/api/plans", body, **headers)


async def ended(harness: EngineHarness, plan_id: str) -> str:
    event = await harness.until(
        plan_id,
        lambda e: e.type == "plan_update" and e.data["status"] in ("completed", "error", "cancelled"),
    )
    return str(event.data["status"])


async def test_an_embedded_engine_runs_plans_and_goes_on_after_kill_and_restart(harness: EngineHarness) -> None:
    async with hub_of(harness, templates=PLANS, engine="auto") as hub:
        assert "engine: in this process, database sqlite:///" in hub.output
        assert "templates: shop, quick\n" in hub.output
        names = [template["name"] for template in (await ask(hub, "GET", "/api/templates")).json()]
        assert names == ["shop", "quick"]
        unknown = await start(hub, harness, "slow", "p")
        assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_template")
        assert (await start(hub, harness, "shop", "p")).status_code == 202
        request_id = await harness.until_asked("p")
        hub.kill()
        await asyncio.to_thread(hub.start)
        given = await ask(hub, "POST", f"/api/plans/p/inputs/{request_id}", {"answer": "yes"})
        assert given.status_code == 200
        assert await ended(harness, "p") == "completed"
        assert (await start(hub, harness, "shop", "q")).status_code == 202
        await harness.until_step("q", "approval", "waiting")
        hub.signal(15)
        hub.wait()
        assert hub.logged("error") == []
    assert statuses(await harness.events("p"), "figures").count("completed") == 1
    assert statuses(await harness.events_so_far("q"), "approval") == ["pending", "in_progress", "waiting"]


async def test_a_hub_with_a_remote_engine_starts_and_signals_plans_that_workers_run(harness: EngineHarness) -> None:
    async with hub_of(harness, templates=PLANS, engine="remote") as hub:
        assert "engine: in `plancast worker` processes" in hub.output
        assert (await start(hub, harness, "quick", "unclaimed")).status_code == 202
        assert (await ask(hub, "POST", "/api/plans/unclaimed/signals", {"signal": "cancel"})).status_code == 202
        assert await ended(harness, "unclaimed") == "cancelled"
        assert (await start(hub, harness, "quick", "p")).status_code == 202
        assert (await start(hub, harness, "shop", "q")).status_code == 202
        with worker(harness) as pid:
            assert await ended(harness, "p") == "completed"
            assert who_works(harness.directory / "effects.db") == {str(pid)}
            await harness.until_asked("q")
            assert (await ask(hub, "POST", "/api/plans/q/signals", {"signal": "cancel"})).status_code == 202
            assert await ended(harness, "q") == "cancelled"
        over = await ask(hub, "POST", "/api/plans/q/signals", {"signal": "pause"})
        assert (over.status_code, over.json()["detail"]) == (409, "plan 'q' has ended")
    for plan_id in ("unclaimed", "p", "q"):
        await harness.events(plan_id)


@contextmanager
def worker(harness: EngineHarness) -> Iterator[int]:
    words = ["worker", "--templates", PLANS, "--log", harness.log_url, "--engine-db", harness.db, "--lease", "2"]
    process = subprocess.Popen([sys.executable, "-m", "hub", *words], cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait(60)


@pytest.mark.slow
async def test_each_process_of_an_embedded_hub_runs_plans(harness: EngineHarness) -> None:
    plan_ids = [f"quick-{n}" for n in range(30)]
    async with hub_of(harness, templates=PLANS, engine="embedded", workers=2, plans_at_once=5) as hub:
        for plan_id in plan_ids:
            assert (await start(hub, harness, "quick", plan_id, hands=2)).status_code == 202
        assert {await ended(harness, plan_id) for plan_id in plan_ids} == {"completed"}
        assert who_works(harness.directory / "effects.db") == {str(pid) for pid in hub.workers}
    for plan_id in plan_ids:
        await harness.events(plan_id)


async def test_with_authentication_templates_must_be_named(harness: EngineHarness) -> None:
    may = {"sub": "ada", "exp": time.time() + 600, "plans": {"ada-*": ["start", "read", "signal"]}}
    authorization = f"Bearer {token(may)}"
    async with hub_of(harness, engine="auto", auth_secret=SECRET) as hub:
        assert "engine: none; this hub shows plans but starts none\n" in hub.output
        assert (await ask(hub, "GET", "/api/templates", Authorization=authorization)).json() == []
        refused = await start(hub, harness, "quick", "ada-1", Authorization=authorization)
        assert (refused.status_code, refused.json()["code"]) == (409, "not_supported")
        assert "--templates" in refused.json()["detail"]
    async with hub_of(harness, engine="auto", auth_secret=SECRET, templates=PLANS) as hub:
        assert (await start(hub, harness, "quick", "ada-1")).status_code == 401
        assert (await start(hub, harness, "quick", "otto-1", Authorization=authorization)).status_code == 403
        assert (await start(hub, harness, "quick", "ada-1", Authorization=authorization)).status_code == 202
        assert await ended(harness, "ada-1") == "completed"
    assert (await harness.snapshot("ada-1")).owner == "ada"
    await harness.events("ada-1")


@pytest.fixture
def without_dbos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine where only `plancast[hub]` is installed."""
    (tmp_path / "missing").mkdir()
    (tmp_path / "missing" / "dbos.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'dbos'\", name='dbos')\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "missing"))


async def test_without_the_extra_a_hub_serves_and_names_the_package_to_install(
    harness: EngineHarness, without_dbos: None
) -> None:
    async with hub_of(harness, engine="auto") as hub:
        assert "engine: none" in hub.output
        refused = await start(hub, harness, "quick", "p")
        assert (refused.status_code, refused.json()["code"]) == (409, "not_supported")
        assert "pip install 'plancast[engine]'" in refused.json()["detail"]


async def test_with_an_sqlite_too_old_for_the_engine_a_hub_serves_without_one(
    harness: EngineHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old/sitecustomize.py").write_text(
        "import sqlite3, sys\nsys.hexversion, sqlite3.sqlite_version_info = 0x030C0000, (3, 40, 1)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "old"))
    async with hub_of(harness, engine="auto", engine_db=f"sqlite:///{tmp_path}/engine.db") as hub:
        [reason] = [line for line in hub.output.splitlines() if line.startswith("engine: none (")]
        assert "requires SQLite 3.42 or newer" in reason
        assert "plancast doctor" in (await start(hub, harness, "quick", "p")).json()["detail"]


@pytest.mark.parametrize("engine", ["embedded", "remote"])
def test_an_sqlite_too_old_for_a_required_engine_is_reported_at_the_start(
    engine: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.hexversion", 0x030C0000)
    monkeypatch.setattr("sqlite3.sqlite_version_info", (3, 40, 1))
    assert (
        main(["serve", "--port", "0", "--engine", engine, "--templates", PLANS, "--engine-db", "sqlite:///e.db"]) == 1
    )
    printed = capsys.readouterr()
    assert "requires SQLite 3.42 or newer" in printed.err
    assert (printed.err.count("\n"), printed.out) == (1, "")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--templates", "no.such.module"], "module no"),
        (["--templates", "tests.plan_engine.event_rules"], "tests.plan_engine.event_rules"),
    ],
)
def test_unusable_options_are_reported_at_the_start(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "--port", "0", *words]) == 1
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1


def test_templates_are_found_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "corner_shop.py").write_text("")
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    assert main(["serve", "--port", "0", "--templates", "corner_shop"]) == 1
    assert "corner_shop" in capsys.readouterr().err


def test_an_unusable_model_is_reported_at_the_start(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--port", "0", "--engine", "embedded", "--templates", PLANS, "--model", "gossip:1"]) == 1
    said = capsys.readouterr().err
    assert "PLANCAST_MODEL" in said
    assert "'gossip:1'" in said


def test_a_missing_extra_is_named_when_an_engine_is_required(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "plan_engine.engine", raising=False)
    monkeypatch.setitem(sys.modules, "dbos", None)
    assert main(["serve", "--port", "0", "--engine", "embedded"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "pip install 'plancast[engine]'" in said


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"log": "sqlite:////proc/plans.db"}, "/proc/plans.db"),
        ({"engine": "embedded", "engine_db": "sqlite:////proc/engine.db"}, "engine"),
    ],
)
def test_what_cannot_be_opened_is_reported_in_one_line(
    settings: dict[str, Any], says: str, harness: EngineHarness
) -> None:
    hub = HubServer(**{"log": harness.log_url, **settings})
    try:
        assert hub.start(wait=False).wait() == 1
        last = hub.output.splitlines()[-1]
        assert last.startswith("plancast: ")
        assert says in last
        assert "Traceback" not in hub.output
    finally:
        hub.close()


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"log": "ftp://plans"}, "PLANCAST_LOG"),
        ({"auth_jwks": "http://keys.test/", "auth_audience": "us"}, "PLANCAST_AUTH_JWKS: "),
        ({"auth_secret": PUBLIC_KEY}, "PLANCAST_AUTH_SECRET: "),
        ({"run_directory": "/proc/hub"}, "/proc/hub"),
        ({"host": "[::1]"}, "[::1]:"),
    ],
)
def test_unusable_settings_are_reported_first(
    settings: dict[str, Any],
    says: str,
    workers: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Before a worker is started."""
    monkeypatch.setattr("hub.commands.serve._serve", lambda *_: pytest.fail("it serves"))
    given = {"log": f"sqlite:///{tmp_path}/plans.db", "port": 0, "engine": "off", "workers": workers, **settings}
    for name, value in given.items():
        monkeypatch.setenv(f"PLANCAST_{name.upper()}", str(value))
    assert main(["serve"]) == 1
    printed, reported = capfd.readouterr()
    assert printed == ""
    assert reported.startswith("plancast: ")
    assert says in reported
    assert reported.count("\n") == 1


def test_a_port_that_is_taken_is_named(harness: EngineHarness) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        hub = HubServer(harness.log_url)
        hub.port = taken.getsockname()[1]
        try:
            assert hub.start(wait=False).wait() == 1
            assert f"127.0.0.1:{hub.port}" in hub.output
            assert "PLANCAST_PORT" in hub.output
            assert hub.output.count("\n") == 1
        finally:
            hub.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_misconfigured_log_ends_the_hub_at_once(workers: int) -> None:
    """Retrying does not help against a wrong password."""
    with RedisServer(password="secret") as redis:
        hub = HubServer(redis.url.replace("secret", "guess"), workers=workers)
        try:
            assert hub.start(wait=False).wait() == 1
            assert "password" in hub.output
            assert "guess" not in hub.output
            assert "Traceback" not in hub.output
        finally:
            hub.close()
