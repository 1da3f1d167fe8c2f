"""What package indexes show of a release."""

from __future__ import annotations

import json
import re
import sys
import tarfile
import tomllib
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.release.commands import ROOT, run
from tests.release.test_installed import VERSIONS

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture
def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return message_from_bytes(archive.read(name))


def test_the_wheel_states_licence_keywords_and_python_versions(metadata: Message) -> None:
    assert (metadata["Name"], metadata["Version"]) == ("plancast", PROJECT["version"])
    assert (metadata["License-Expression"], metadata["Requires-Python"]) == ("MIT", ">=3.11")
    assert metadata["Keywords"].split(",") == sorted(PROJECT["keywords"])
    versions = [line for line in metadata.get_all("Classifier", []) if re.search(r":: 3\.\d+$", line)]
    assert [line.rpartition(" ")[2] for line in versions] == ["3.11", "3.12", "3.13"]


def test_the_checked_python_versions_are_those_that_the_wheel_states_and_the_next(metadata: Message) -> None:
    stated = [line.rpartition(" ")[2] for line in metadata.get_all("Classifier", []) if re.search(r":: 3\.\d+$", line)]
    assert [*VERSIONS] == [*stated, "3.14"]


def test_the_wheel_offers_the_extras_of_the_project(metadata: Message) -> None:
    extras = PROJECT["optional-dependencies"]
    assert set(metadata.get_all("Provides-Extra", [])) == set(extras)
    assert {Requirement(text).name for text in extras["all"]} == {"plancast"}
    assert {name for text in extras["all"] for name in Requirement(text).extras} == {"hub", "engine", "templates"}


def test_every_package_and_the_changelog_have_one_version() -> None:
    lock = json.loads((ROOT / "frontend/package-lock.json").read_text())
    npm = json.loads((ROOT / "frontend/package.json").read_text())
    assert {npm["version"], lock["version"], lock["packages"][""]["version"]} == {PROJECT["version"]}
    newest = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[0]
    assert newest in ("Unreleased", PROJECT["version"])


def test_both_packages_have_the_same_licence_and_describe_themselves() -> None:
    npm = json.loads((ROOT / "frontend/package.json").read_text())
    assert npm["license"] == PROJECT["license"]
    assert (ROOT / "frontend/LICENSE").read_text() == (ROOT / "LICENSE").read_text()
    assert npm["description"]
    assert npm["keywords"]


@pytest.mark.slow
def test_the_readme_renders_on_the_package_index(wheel: Path, tmp_path: Path) -> None:
    run(sys.executable, "-m", "venv", tmp_path / "env", cwd=tmp_path)
    python = tmp_path / "env/bin/python"
    run(python, "-m", "pip", "install", "--quiet", "twine", cwd=tmp_path)
    checked = run(python, "-m", "twine", "--no-color", "check", "--strict", *wheel.parent.iterdir(), cwd=tmp_path)
    assert checked.count("PASSED") == 2, checked


def test_both_distributions_have_the_licence_the_types_and_the_built_page(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    with tarfile.open(next(wheel.parent.glob("*.tar.gz"))) as archive:
        source = {name.partition("/")[2] for name in archive.getnames()}
    typed = {f"{package}/py.typed" for package in ("broadcasters", "hub", "plan_engine", "plancast")}
    needed = typed | {"hub/page/built/index.html"}
    assert needed | {f"plancast-{PROJECT['version']}.dist-info/licenses/LICENSE"} <= inside
    assert needed | {"LICENSE"} <= source


@pytest.mark.slow
def test_the_checkout_builds_the_wheel_that_the_source_distribution_builds(wheel: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", tmp_path, ROOT]
    run(*command, cwd=tmp_path)
    assert (tmp_path / wheel.name).read_bytes() == wheel.read_bytes()
