"""The reference of the documentation site names everything that is public."""

from __future__ import annotations

import json
import os
import re
from importlib import import_module
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import pytest

import broadcasters
import plan_engine
import plancast
from hub.commands import COMMANDS
from hub.config import flags
from hub.telemetry import measures
from scripts.docs import from_code, http_reference, stream_reference, typescript_reference

ROOT: Final = Path(__file__).parents[2]
DOCS: Final = ROOT / "docs"
HEADING: Final = re.compile(r"^#{2,4} .*\{#([\w.-]+)\}$", re.MULTILINE)


def headings(pages: dict[str, str]) -> set[str]:
    return {anchor for text in pages.values() for anchor in HEADING.findall(text)}


def test_every_http_operation_and_schema_has_a_section_and_links_lead_to_one() -> None:
    api: dict[str, Any] = json.loads((DOCS / "openapi.json").read_text())
    pages = http_reference.pages(DOCS / "openapi.json")
    operations = {each["operationId"] for path in api["paths"].values() for each in path.values()}
    assert headings(pages) == operations | set(api["components"]["schemas"])
    linked = {anchor for text in pages.values() for anchor in re.findall(r"\]\((?!\.\.)[^)]*#(\w+)\)", text)}
    assert linked <= headings(pages)


def test_every_operation_parameter_and_response_is_described() -> None:
    pages = http_reference.pages(DOCS / "openapi.json")
    del pages["reference/http/schemas.md"]
    rows = [line for text in pages.values() for line in text.splitlines() if line.startswith("|")]
    assert len(rows) > 300
    assert [row for row in rows if re.search(r"\|\s*\|", row)] == []


def test_every_frame_and_code_has_its_place() -> None:
    pages = stream_reference.pages(DOCS)
    frames = set(json.loads((DOCS / "asyncapi.json").read_text())["components"]["messages"])
    assert frames <= headings(pages)
    linked = set(re.findall(r"\]\(#(\w+)\)", pages["reference/frames.md"]))
    assert linked <= headings(pages)
    for table in json.loads((DOCS / "codes.json").read_text()).values():
        for code in table:
            assert re.search(
                rf"^\| `?{code['code']}`? .*{re.escape(code['todo'])}", pages["reference/codes.md"], re.MULTILINE
            )


def test_every_name_that_the_npm_package_exports_is_declared() -> None:
    text = typescript_reference.pages(ROOT / "frontend/src")["reference/typescript.md"]
    index = (ROOT / "frontend/src/client/index.ts").read_text() + (ROOT / "frontend/src/react/index.ts").read_text()
    names = {
        name for group in re.findall(r"^export (?:type )?\{(.*?)\}", index, re.MULTILINE) for name in group.split(",")
    }
    assert {name.strip() for name in names} <= set(HEADING.findall(text))
    assert "export declare" not in text
    assert re.findall(r"^export (?:function|const) .*[{=]$", text, re.MULTILINE) == [], "bodies are not shown"


def test_every_command_setting_and_metric_is_there() -> None:
    with patch.dict(os.environ):
        pages = from_code.pages()
    commands = pages["reference/command-line.md"]
    assert set(HEADING.findall(commands)) == set(COMMANDS)
    assert all(f"usage: plancast {name}" in commands for name in COMMANDS)
    rows = re.findall(r"^\| `.*$", f"{flags.table()}\n{measures.table()}", re.MULTILINE)
    shown = pages["reference/settings.md"] + pages["reference/metrics.md"]
    assert [row for row in rows if row not in shown] == []


PYTHON: Final = {path.stem: path.read_text() for path in sorted((DOCS / "reference/python").glob("*.md"))}
ADAPTERS: Final = re.findall(r"^::: ([\w.]+)", PYTHON.pop("adapters"), re.MULTILINE)
DIRECTIVES: Final = re.findall(r"^::: ([\w.]+)", "".join(PYTHON.values()), re.MULTILINE)


@pytest.mark.parametrize("package", [broadcasters, plan_engine, plancast])
def test_every_public_name_of_a_package_is_in_the_python_reference(package: Any) -> None:
    objects = {id(resolve(path)) for path in DIRECTIVES}
    inside = {
        name
        for path in DIRECTIVES
        if hasattr(module := resolve(path), "__path__") or type(module).__name__ == "module"
        for name in module.__all__
    }
    public = {name for name in package.__all__ if not name.startswith("_") and name not in ("blocking", "events")}
    assert {name for name in public if id(getattr(package, name)) not in objects and name not in inside} == set()


@pytest.mark.parametrize("path", ADAPTERS)
def test_every_adapter_in_the_python_reference_exists(path: str) -> None:
    """Reads its source: importing all frameworks takes seconds."""
    module, _, name = path.rpartition(".")
    source = ROOT.joinpath(*module.split(".")).with_suffix(".py").read_text()
    assert re.search(rf"^(?:async )?def {name}\(", source, re.MULTILINE)


def resolve(path: str) -> Any:
    """The module or object of a directive, which fails if it does not exist."""
    try:
        return import_module(path)
    except ModuleNotFoundError:
        module, _, name = path.rpartition(".")
        return getattr(import_module(module), name)
