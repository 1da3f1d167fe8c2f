"""deploy/Containerfile: what its image contains, and how its processes start, stop and report their health."""

from __future__ import annotations

import os
import re
import signal
from contextlib import ExitStack, closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.deploy.image import CONTAINERFILE, Image, instructions
from tests.hub.tokens import SECRET
from tests.servers.process import RedisServer, eventually, free_port
from tests.test_house import PROJECT, locked

pytestmark = pytest.mark.timeout(900)  # whichever test runs first builds the image

ROOT = CONTAINERFILE.parents[1]
LOCKED = ROOT / "deploy/requirements.txt"
BUILD = ROOT / "deploy/requirements-build.txt"


def text_of(word: str) -> str:
    [found] = [each.text for each in instructions(None) if each.word == word]
    return found


# --- what the file says


@pytest.mark.parametrize("path", [LOCKED, BUILD], ids=lambda path: path.name)
def test_its_packages_are_those_of_the_lock_with_hashes(path: Path) -> None:
    entries = re.split(r"\n(?=\S)", path.read_text().strip())
    pins = {
        canonicalize_name(entry.partition("==")[0]): re.split(r"[ ;]", entry.partition("==")[2])[0] for entry in entries
    }
    assert len(pins) >= 5
    assert {name: locked()[name] for name in pins} == pins, "run: make lock"
    assert all("--hash=sha256:" in entry for entry in entries)


def test_it_has_every_package_that_hubs_and_workers_need() -> None:
    project = PROJECT["project"]
    extras = project["optional-dependencies"]
    texts = [
        *project["dependencies"],
        *(text for name in ("hub", "engine", "templates", "mcp") for text in extras[name]),
    ]
    pinned = {canonicalize_name(name) for name in re.findall(r"^([\w.-]+)==", LOCKED.read_text(), re.MULTILINE)}
    assert {canonicalize_name(Requirement(text).name) for text in texts} - pinned == set(), "run: make lock"


def test_it_installs_with_hashes_and_compiles_nothing() -> None:
    installs = [each.text for each in instructions("environment") if re.search(r"\bpip\b.* install\b", each.text)]
    assert len(installs) == 4
    for line in installs:
        assert "--require-hashes --only-binary :all:" in line or "--no-deps --no-index dist/" in line


def test_the_last_stage_installs_nothing_and_does_not_run_as_root() -> None:
    assert [each.text.split()[0] for each in instructions(None) if each.word == "RUN"] == ["useradd"]
    assert [each.text for each in instructions(None) if each.word == "COPY"] == [
        "--from=environment /opt/plancast /opt/plancast"
    ]
    user, group = text_of("USER").split(":")
    assert int(user) > 0
    assert int(group) > 0
    assert f"--uid {user} " in text_of("RUN")


def test_signals_reach_the_process_itself() -> None:
    assert text_of("ENTRYPOINT") == '["plancast"]'  # a shell between would keep them
    assert text_of("CMD") == '["serve"]'
    assert text_of("STOPSIGNAL") == "SIGTERM"


def test_the_build_context_has_what_is_copied_and_no_secrets() -> None:
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert ignored.count("*") == 1
    kept = [line.removeprefix("!") for line in ignored if line.startswith("!")]
    copies = [
        each.text.split() for stage in ("page", "environment") for each in instructions(stage) if each.word == "COPY"
    ]
    sources = {source for words in copies if words[0] != "--from=page" for source in words[:-1]}
    assert [source for source in sources if not (ROOT / source).exists()] == []
    assert [
        each for each in sources if not any(Path(each).match(p) or Path(each).is_relative_to(p) for p in kept)
    ] == []


# --- what it does


@pytest.mark.slow
def test_the_image_has_the_page_the_documentation_and_no_build_tools(image: Image) -> None:
    assert (image.packages / "hub/page/built/index.html").exists()
    assert (image.packages / "hub/page/docs/index.html").exists()
    installed = {path.name.partition("-")[0] for path in image.packages.glob("*.dist-info")}
    assert {"plancast", "uvicorn", "dbos", "mcp", "pydantic_ai_slim", "psycopg_binary"} <= installed
    assert installed & {"pip", "setuptools", "wheel", "hatchling", "pytest", "mypy"} == set()
    assert re.match(r"plancast \d", image.run({}, "plancast", "version").stdout)


@pytest.mark.slow
def test_the_image_has_every_page_of_the_documentation(image: Image) -> None:
    """A linked file that is missing in the build stage would have no page, without an error."""
    built = ROOT / "hub/page/docs"
    if not built.exists():
        pytest.skip("the documentation is not built: run make docs")
    assert files_in(image.packages / "hub/page/docs") == files_in(built)


def files_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_a_hub_without_a_secret_does_not_start(image: Image) -> None:
    with closing(image.start({"PLANCAST_PORT": str(free_port())})) as hub:
        assert hub.wait() == 1
        assert "0.0.0.0" in hub.output
        assert "PLANCAST_AUTH_SECRET" in hub.output


@pytest.mark.slow
def test_a_hub_is_healthy_while_it_waits_for_its_log_and_drains_as_process_1(image: Image) -> None:
    with ExitStack() as stack:
        redis = stack.enter_context(RedisServer())
        redis.kill()
        variables = {
            "PLANCAST_HOST": "127.0.0.1",
            "PLANCAST_PORT": str(free_port()),
            "PLANCAST_AUTH_SECRET": SECRET,
            "PLANCAST_LOG": redis.url,
            "PLANCAST_DRAIN_SECONDS": "1",
        }
        check = image.words("HEALTHCHECK")
        assert image.run(variables, *check).returncode == 1
        hub = stack.enter_context(closing(image.start(variables)))
        eventually("the hub is healthy", lambda: image.run(variables, *check).returncode == 0)
        redis.start()
        ready = [word.replace("/healthz", "/readyz") for word in check]
        eventually("the hub is ready", lambda: image.run(variables, *ready).returncode == 0)
        hub.signal(signal.SIGTERM)
        assert hub.wait() == 0, hub.output
        assert image.run(variables, *check).returncode == 1


@pytest.mark.slow
@pytest.mark.parametrize("command", ["serve", "worker"])
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start it as process 1")
def test_a_signal_while_it_starts_ends_process_1(command: str, image: Image) -> None:
    """The signal arrives before a hub or worker has its own handlers: a module of templates sends it when it is imported."""
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        Path(folder, "early.py").write_text("import os, signal\nos.kill(1, signal.SIGTERM)\n")
        variables = {
            "PLANCAST_HOST": "127.0.0.1",
            "PLANCAST_PORT": str(free_port()),
            "PLANCAST_TEMPLATES": "early",
            "PYTHONPATH": folder,
        }
        with closing(image.start(variables, command)) as process:
            assert process.wait() == 128 + signal.SIGTERM, process.output
