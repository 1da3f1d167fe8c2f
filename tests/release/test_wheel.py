"""The built wheel in an empty environment: it provides what an agent's process needs, without the hub's dependencies."""

from __future__ import annotations

import json
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from importlib.metadata import Distribution, distribution
from pathlib import Path
from shutil import copy2

import pytest
from packaging.requirements import Requirement

from tests.release.commands import ROOT, run

FOREIGN = ("fastapi", "starlette", "uvicorn", "websockets", "dbos", "flask", "prometheus_client", "opentelemetry")
IMPORT_SECONDS = 0.3
IMPORT = "from broadcasters import send_plan_update"


@pytest.fixture(scope="session")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with the wheel and its declared requirements, in the versions installed here."""
    folder = tmp_path_factory.mktemp("empty")
    run(sys.executable, "-m", "venv", folder, cwd=folder)
    python = folder / "bin/python"
    run(python, "-m", "pip", "install", "--no-deps", "--no-index", wheel, cwd=folder)
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip())
    metadata = run(
        python, "-c", "import importlib.metadata as m, json; print(json.dumps(m.requires('plancast')))", cwd=folder
    )
    for each in needed(json.loads(metadata)):
        copy_into(site, each)
    return python


def needed(requirements: Sequence[str]) -> list[Distribution]:
    """All distributions that these requirements install, without extras."""
    found: dict[str, Distribution] = {}
    queue = [Requirement(text) for text in requirements]
    while queue:
        required = queue.pop()
        if required.name in found or (required.marker and not required.marker.evaluate({"extra": ""})):
            continue
        found[required.name] = distribution(required.name)
        queue += [Requirement(text) for text in found[required.name].requires or ()]
    return list(found.values())


def copy_into(site: Path, installed: Distribution) -> None:
    for file in installed.files or ():
        source = Path(str(file.locate()))
        if ".." not in file.parts and source.exists():
            (site / file).parent.mkdir(parents=True, exist_ok=True)
            copy2(source, site / file)


def packaged() -> set[str]:
    """All files of our packages, the built page included, except caches and the markers of `make`."""
    files = (
        path for package in ("broadcasters", "hub", "plan_engine", "plancast") for path in (ROOT / package).rglob("*")
    )
    names = {str(path.relative_to(ROOT)) for path in files if path.is_file() and not path.name.startswith(".ready-")}
    return {name for name in names if "__pycache__" not in name}


def test_the_wheel_holds_the_packages_and_nothing_else(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    about = {name for name in inside if ".dist-info/" in name}
    assert inside - about == packaged()
    assert "licenses/LICENSE" in {name.partition(".dist-info/")[2] for name in about}


def test_the_source_distribution_holds_the_same_and_the_build_files(wheel: Path) -> None:
    with tarfile.open(next(wheel.parent.glob("*.tar.gz"))) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    documents = {"README.md", "CHANGELOG.md", "LICENSE"}
    assert inside == packaged() | documents | {"pyproject.toml", "PKG-INFO", ".gitignore"}


def test_the_requirements_of_the_wheel_are_satisfied(python: Path, tmp_path: Path) -> None:
    assert "No broken requirements" in run(python, "-m", "pip", "check", cwd=tmp_path)


def test_importing_the_send_functions_is_quick_and_imports_no_web_framework(python: Path, tmp_path: Path) -> None:
    """Measures processor time, so that a busy machine does not matter; the best of three, so that a cold disk does not."""
    program = f"import sys, time; t = time.process_time(); {IMPORT}; print(time.process_time() - t, *sys.modules)"
    seconds, modules = list[float](), set[str]()
    for _ in range(3):
        took, *names = run(python, "-c", program, cwd=tmp_path).split()
        seconds.append(float(took))
        modules |= {name.split(".")[0] for name in names}
    assert min(seconds) < IMPORT_SECONDS
    assert modules.isdisjoint(FOREIGN)


def test_an_agent_publishes_and_the_command_lists_its_plan(python: Path, tmp_path: Path) -> None:
    log = f"sqlite:///{tmp_path}/plans.db"
    program = "import sys; from broadcasters.blocking import Broadcaster\n"
    program += "with Broadcaster(sys.argv[1]) as b: b.send_agent_message('p', 'Ana', 'Hi.')"
    run(python, "-c", program, log, cwd=tmp_path)
    listed = json.loads(run(python.with_name("plancast"), "plans", "--json", "--log", log, cwd=tmp_path))
    assert (listed["plan_id"], listed["offset"]) == ("p", 1)
