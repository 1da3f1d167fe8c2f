"""`import plancast`: every public name, lazily, and what it says where an extra is missing."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import broadcasters
import plan_engine
import plancast

BLOCKER = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {missing!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
"""


def run(program: str, *missing: str) -> subprocess.CompletedProcess[str]:
    """Runs a program in a process where these packages are not installed."""
    code = BLOCKER.format(missing=missing) + program
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)


@pytest.mark.parametrize("name", plancast.__all__)
def test_every_name_is_there(name: str) -> None:
    assert getattr(plancast, name) is not None
    assert name in dir(plancast)


def test_it_has_all_of_the_public_names_of_publishing_and_running() -> None:
    assert set(broadcasters.__all__) | set(plan_engine.__all__) <= set(plancast.__all__)
    assert all(getattr(plancast, name) is getattr(broadcasters, name) for name in broadcasters.__all__)
    assert all(getattr(plancast, name) is getattr(plan_engine, name) for name in plan_engine.__all__)
    assert plancast.__version__ == version("plancast")
    assert (Path(plancast.__file__).parent / "py.typed").exists()


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Brodcaster'"):
        _ = plancast.Brodcaster  # pyright: ignore[reportAttributeAccessIssue]


def test_importing_it_loads_nothing_else() -> None:
    done = run(
        "import plancast, sys; print(*sorted({'broadcasters', 'hub', 'plan_engine', 'pydantic'} & set(sys.modules)))"
    )
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


@pytest.mark.parametrize(
    ("program", "missing", "message"),
    [
        (
            "import plancast; plancast.Engine",
            "dbos",
            "running plans requires the extra 'engine': pip install 'plancast[engine]' (dbos is missing)",
        ),
        (
            "from plan_engine import Engine",
            "sqlalchemy",
            "requires the extra 'engine': pip install 'plancast[engine]' (sqlalchemy is missing)",
        ),
        (
            "import plan_engine.engine",
            "dbos",
            "running plans requires the extra 'engine': pip install 'plancast[engine]' (dbos is missing)",
        ),
        (
            "import plancast; plancast.create_app",
            "fastapi",
            "a hub requires the extra 'hub': pip install 'plancast[hub]' (fastapi is missing)",
        ),
        (
            "from hub.app import create_app",
            "prometheus_client",
            "requires the extra 'hub': pip install 'plancast[hub]' (prometheus_client is missing)",
        ),
        (
            "from hub.node import Hub",
            "jwt",
            "a hub requires the extra 'hub': pip install 'plancast[hub]' (jwt is missing)",
        ),
        (
            "import plan_engine.templates",
            "sqlglot",
            "requires the extra 'templates': pip install 'plancast[templates]' (sqlglot is missing)",
        ),
        (
            "import plan_engine.adapters.langgraph",
            "langgraph",
            "requires the extra 'langgraph': pip install 'plancast[langgraph]' (langgraph is missing)",
        ),
        ("import plan_engine.adapters.pydantic_ai", "pydantic_ai", "pip install 'plancast[pydantic-ai]'"),
        ("import plan_engine.adapters.openai_agents", "agents", "pip install 'plancast[openai-agents]'"),
        ("import plan_engine.adapters.agent_framework", "agent_framework", "pip install 'plancast[agent-framework]'"),
        ("import plan_engine.adapters.relay.langgraph", "langgraph_sdk", "pip install 'plancast[langgraph]'"),
    ],
)
def test_a_missing_extra_is_named(program: str, missing: str, message: str) -> None:
    done = run(program, missing)
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1
    assert last.startswith("broadcasters.extras.ExtraMissing: ")
    assert message in last


@pytest.mark.parametrize(
    ("arguments", "missing", "message"),
    [
        (
            "'serve'",
            "uvicorn",
            "plancast: a hub requires the extra 'hub': pip install 'plancast[hub]' (uvicorn is missing)\n",
        ),
        (
            "'worker', '--log', 'redis://127.0.0.1:1'",
            "dbos",
            "plancast: running plans requires the extra 'engine': pip install 'plancast[engine]' (dbos is missing)\n",
        ),
        (
            "'demo'",
            "dbos",
            "plancast: the demo requires the extra 'all': pip install 'plancast[all]' (dbos is missing)\n",
        ),
    ],
)
def test_a_command_says_it_in_one_line(arguments: str, missing: str, message: str) -> None:
    done = run(f"import sys; from hub.cli import main; sys.exit(main([{arguments}]))", missing)
    assert (done.returncode, done.stderr) == (1, message)


def test_python_m_plancast_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "plancast", "version"], capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stdout.split()[:2]) == (0, ["plancast", version("plancast")])
