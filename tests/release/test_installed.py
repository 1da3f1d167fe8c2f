"""The built packages, installed from a package index into empty environments, and used there: one for each Python here."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.release.commands import run
from tests.release.test_wheel import FOREIGN, IMPORT
from tests.servers.demo import clean_environment, pages, running_demo
from tests.servers.postgres import PostgresServer
from tests.servers.process import eventually, free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

VERSIONS = ("3.11", "3.12", "3.13", "3.14")
EVERY_NAME = "import plancast; print(len([getattr(plancast, name) for name in plancast.__all__]))"


def interpreter(version: str) -> Path | None:
    """An interpreter of this version: the one that runs the tests, on the PATH, or installed by pyenv."""
    found = [path for path in (shutil.which(f"python{version}"),) if path]
    found += map(str, Path("~/.pyenv/versions").expanduser().glob(f"{version}.*/bin/python"))
    if sys.version_info[:2] == tuple(map(int, version.split("."))):
        found.insert(0, sys.executable)
    for path in found:
        done = subprocess.run([path, "--version"], capture_output=True, text=True)
        if done.stdout.startswith(f"Python {version}."):
            return Path(path)
    return None


OLD_SQLITE = "from plan_engine.worker.sqlite import sqlite_problem; print(bool(sqlite_problem()))"


@pytest.fixture(scope="module", params=VERSIONS)
def plancast(request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `plancast` command of an environment with `plancast[all]`."""
    python = interpreter(request.param)
    if python is None:
        pytest.skip(f"Python {request.param} is not installed here")
    folder = tmp_path_factory.mktemp(f"python{request.param}")
    run(python, "-m", "venv", folder / "env", cwd=folder)
    installed = folder / "env/bin/python"
    run(installed, "-m", "pip", "install", "--quiet", f"{wheel}[all]", cwd=folder)
    return installed.with_name("plancast")


@pytest.fixture(scope="module")
def engine(plancast: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator[dict[str, str]]:
    """Settings of an engine: none where DBOS can use SQLite, otherwise the URL of a PostgreSQL database. From Python 3.12
    on, DBOS needs SQLite 3.42, which these interpreters may not have."""
    if run(plancast.with_name("python"), "-c", OLD_SQLITE, cwd=tmp_path_factory.mktemp("sqlite")).strip() == "False":
        yield {}
        return
    with PostgresServer() as server:
        yield {"PLANCAST_ENGINE_DB": server.url}


def test_every_public_name_can_be_imported(plancast: Path, tmp_path: Path) -> None:
    assert int(run(plancast.with_name("python"), "-W", "error", "-c", EVERY_NAME, cwd=tmp_path)) > 50


def test_a_hub_serves_the_page_and_what_is_published(plancast: Path, engine: dict[str, str], tmp_path: Path) -> None:
    with serving(plancast, tmp_path, engine) as url:
        run(plancast, "publish", "p", "Hi.", "--agent", "Ana", "--log", url, cwd=tmp_path)
        run(plancast, "publish", "p", "Done.", "--status", "completed", "--log", url, cwd=tmp_path)
        shown = run(plancast, "tail", "p", "--from", "start", "--exit-status", "--log", url, cwd=tmp_path)
        assert re.search(r"Ana +. Hi\.", shown), shown
        page = read(f"{url}/plan/p")
        assets = re.findall(r'(?:src|href)="(/[^"]+)"', page)
        assert any(asset.endswith(".js") for asset in assets)
        assert all(read(f"{url}{asset}") for asset in assets)
        assert "Plancast" in read(f"{url}/docs/")


def test_the_demo_goes_on_after_a_kill(plancast: Path, engine: dict[str, str], tmp_path: Path) -> None:
    port = free_port()
    with running_demo(tmp_path, port, plancast, **engine) as demo:
        first = pages(demo.read_until("Now kill me"))
        demo.process.send_signal(signal.SIGKILL)
        demo.process.wait()
    with running_demo(tmp_path, port, plancast, **engine) as demo:
        again = demo.read_until("Now kill me")
    assert "The plans go on where they were." in again
    assert pages(again)[0] == first[0]


def test_an_agent_needs_no_extra(wheel: Path, tmp_path: Path) -> None:
    run(sys.executable, "-m", "venv", tmp_path / "env", cwd=tmp_path)
    python = tmp_path / "env/bin/python"
    run(python, "-m", "pip", "install", "--quiet", wheel, cwd=tmp_path)
    assert run(python, "-c", f"{IMPORT}; print(send_plan_update.__name__)", cwd=tmp_path).strip() == "send_plan_update"
    listed = json.loads(run(python, "-m", "pip", "list", "--format", "json", cwd=tmp_path))
    assert {package["name"] for package in listed}.isdisjoint(FOREIGN)


@contextmanager
def serving(plancast: Path, home: Path, engine: dict[str, str]) -> Generator[str]:
    """Runs `plancast serve`; yields its address once it is ready."""
    port = free_port()
    env = clean_environment(home, PLANCAST_PORT=str(port), PLANCAST_LOGS_LEVEL="warning", **engine)
    with subprocess.Popen([plancast, "serve"], env=env, stdout=subprocess.DEVNULL) as hub:
        try:
            url = f"http://127.0.0.1:{port}"
            eventually("the hub is ready", lambda: hub.poll() is not None or is_ready(url))
            yield url
        finally:
            hub.terminate()


def is_ready(url: str) -> bool:
    try:
        return bool(read(f"{url}/readyz"))
    except OSError:
        return False


def read(url: str) -> str:
    with urlopen(url, timeout=30) as answer:
        return str(answer.read().decode())
