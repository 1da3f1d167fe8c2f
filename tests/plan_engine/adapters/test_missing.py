"""Without its framework, an adapter's error says what to install; the package itself needs no framework."""

from __future__ import annotations

import subprocess
import sys

import pytest

FRAMEWORKS = {
    "langgraph": ("langgraph", "plancast[langgraph]"),
    "pydantic_ai": ("pydantic_ai", "plancast[pydantic-ai]"),
    "openai_agents": ("agents", "plancast[openai-agents]"),
    "agent_framework": ("agent_framework", "plancast[agent-framework]"),
}


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("adapter", FRAMEWORKS)
def test_without_the_framework_the_error_says_what_to_install(adapter: str) -> None:
    package, extra = FRAMEWORKS[adapter]
    hidden = f"import sys; sys.modules['{package}'] = None; sys.modules['langchain_core'] = None"
    done = run(f"{hidden}; import plan_engine.adapters.{adapter}")
    assert done.returncode == 1
    assert f"pip install '{extra}'" in done.stderr.splitlines()[-1]


def test_the_package_and_the_callback_import_no_framework() -> None:
    packages = [package for package, _ in FRAMEWORKS.values()]
    done = run(
        "import sys, plan_engine.adapters, plan_engine.adapters.progress;"
        f"print([name for name in [*{packages}, 'dbos', 'fastapi'] if name in sys.modules])"
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")
