"""A newcomer's first hour, step by step, with only what README.md and docs/AGENTS.md say: `python -m bench.first_hour`.

Each step runs in an empty environment with an empty home directory and empty package caches. Its programs and commands are
extracted from the documents. Two differ from the text: the question has no expiry, so that a person can answer it, and the
page asks the hub at a free port. The seconds are those of one run; the CPU seconds are those of the processes that ended
in the step. Needs the packages in dist (`make packages`).
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from bench.rig import record, table
from hub.commands.demo import PLANS
from tests.servers.demo import Demo, clean_environment, pages, running_demo
from tests.servers.process import eventually, free_port

ROOT: Final = Path(__file__).parent.parent
MIB: Final = 1024 * 1024
BEGUN: Final = "Now kill me"
EXPIRY: Final = ', expires_in=0.5, default="no"'
CHROMIUM: Final = os.environ.get("CHROMIUM", "/usr/bin/chromium")
LOOK: Final = """
const { chromium } = require(process.argv[1]);
(async () => {
  const browser = await chromium.launch({ executablePath: process.argv[2], args: ["--no-sandbox"] });
  const page = await browser.newPage();
  await page.goto(process.argv[3]);
  await page.getByText(process.argv[4]).first().waitFor({ timeout: 120000 });
  await browser.close();
})();
"""
"""Opens a page in Chromium and waits until it shows a text."""


def blocks(document: str, language: str) -> list[str]:
    text = (ROOT / document).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def command(document: str, containing: str) -> str:
    """The first command of a document with these words."""
    lines = [line.partition("#")[0].strip() for block in blocks(document, "sh") for line in block.splitlines()]
    return next(line for line in lines if containing in line)


class FirstHour:
    """A machine on which nothing is installed, and the steps on it."""

    def __init__(self, home: Path, packages: Path) -> None:
        self.home = home
        self.packages = packages
        self.port = free_port()
        caches = {"PIP_CACHE_DIR": str(home / "pip"), "npm_config_cache": str(home / "npm")}
        self.env = clean_environment(home, **caches)
        self.env["PATH"] = f"{home / 'env/bin'}{os.pathsep}{self.env['PATH']}"
        self.rows: list[dict[str, Any]] = []
        self.pages: list[str] = []

    def run(self, line: str, folder: Path | None = None) -> str:
        done = subprocess.run(line, shell=True, cwd=folder or self.home, env=self.env, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"{line}: {done.stdout}{done.stderr}")
        return done.stdout

    def step(self, name: str, source: str, act: Callable[[], object]) -> None:
        """Do a step, and record what it took."""
        began, used = time.monotonic(), children()
        act()
        took = time.monotonic() - began
        print(f"{name}: {took:.1f} s", flush=True)
        self.rows.append(
            {"": name, "from": source, "seconds": round(took, 1), "CPU seconds": round(children() - used, 1)}
        )

    @contextmanager
    def demo(self) -> Generator[Demo]:
        """`plancast demo`, as installed."""
        with running_demo(self.home, self.port, self.home / "env/bin/plancast") as demo:
            yield demo

    # ---- the steps

    def make_run(self) -> None:
        checkout = self.home / "checkout"
        self.run(f"git clone --quiet {ROOT} {checkout}")
        self.step(
            "cold `make run`, until the hub starts",
            "README.md",
            lambda: self.run("scripts/ready running page", checkout),
        )
        for name in (".venv", "frontend/node_modules"):
            self.rows.append({"": f"  {name}", "from": "", "MiB": round(size(checkout / name) / MIB)})
        shutil.rmtree(checkout)

    def install(self) -> None:
        [wheel] = self.packages.glob("*.whl")
        python = shutil.which("python3.11") or "python3"
        self.run(f"{python} -m venv env")
        self.run(f"env/bin/pip install --quiet {wheel}[all]")

    def first_plan(self, demo: Demo) -> None:
        self.pages = pages(demo.read_until(BEGUN))
        self.look(self.pages[0], str(PLANS[0].given["request"]))  # the title of the plan

    def first_agent(self) -> None:
        self.program(blocks("README.md", "python")[0])
        self.run(f"{command('README.md', 'plancast tail plan-1')} --exit-status")

    def program(self, text: str) -> str:
        (self.home / "agent.py").write_text(text)
        return self.run("python agent.py")

    def first_question(self) -> None:
        text = blocks("docs/AGENTS.md", "python")[0]
        if EXPIRY not in text:
            raise RuntimeError(f"docs/AGENTS.md has changed: no {EXPIRY}")
        (self.home / "agent.py").write_text(text.replace(EXPIRY, ""))
        [plan_id] = re.findall(r'approve\("([^"]+)"', text)
        asking = subprocess.Popen(
            ["python", "agent.py"],
            cwd=self.home,
            env=self.env,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        eventually("the answer is accepted", lambda: self.accepted(f"plancast answer {plan_id} yes"))
        printed, _ = asking.communicate(timeout=60)
        if not printed.startswith("True"):
            raise RuntimeError(f"the program printed {printed!r}, not True")

    def accepted(self, line: str) -> bool:
        return subprocess.run(line, shell=True, cwd=self.home, env=self.env, capture_output=True).returncode == 0

    def first_page(self) -> None:
        app = self.home / "app"
        app.mkdir()
        [packed] = self.packages.glob("*.tgz")
        self.run("npm init --yes", app)
        self.run(
            command("frontend/README.md", "npm install plancast").replace("plancast", f"{packed} react react-dom vite"),
            app,
        )
        example = blocks("README.md", "tsx")[0].replace("http://localhost:8000", f"http://127.0.0.1:{self.port}")
        start = "createRoot(document.body).render(<App />);"
        (app / "main.tsx").write_text(f'import {{ createRoot }} from "react-dom/client";\n{example}\n{start}\n')
        (app / "tsconfig.json").write_text('{"compilerOptions": {"jsx": "react-jsx"}}')
        (app / "index.html").write_text('<script type="module" src="/main.tsx"></script>')
        self.run("npx vite build", app)
        port = free_port()
        shown = [
            sys.executable,
            "-m",
            "http.server",
            str(port),
            "--bind",
            "127.0.0.1",
            "--directory",
            str(app / "dist"),
        ]
        with subprocess.Popen(shown, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
            try:
                self.look(f"http://127.0.0.1:{port}/", "Autumn campaign for the shop: completed")
            finally:
                server.terminate()

    def look(self, url: str, text: str) -> None:
        playwright = ROOT / "frontend/node_modules/playwright-core"
        subprocess.run(["node", "-e", LOOK, playwright, CHROMIUM, url, text], env=self.env, check=True)

    def gone_on(self) -> None:
        """Starts the demo that was killed, and answers the question that was open."""
        with self.demo() as demo:
            again = demo.read_until(BEGUN)
            if "go on where they were" not in again or pages(again)[0] != self.pages[0]:
                raise RuntimeError(again)
            eventually("the answer is accepted", lambda: self.accepted("plancast answer demo-team-1 yes"))


def children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def size(folder: Path) -> int:
    return sum(path.lstat().st_blocks * 512 for path in folder.rglob("*"))


def main() -> None:
    with TemporaryDirectory(prefix="plancast-first-hour-", ignore_cleanup_errors=True) as folder:
        hour = FirstHour(Path(folder), ROOT / "dist")
        hour.make_run()
        hour.step("pip install 'plancast[all]'", "README.md", hour.install)
        with hour.demo() as demo:
            hour.step("`plancast demo` shows its plan in a browser", "README.md", lambda: hour.first_plan(demo))
            hour.step("first agent: its plan ends in a tail", "README.md", hour.first_agent)
            hour.step("first question, answered with yes", "docs/AGENTS.md", hour.first_question)
            hour.step("first page of one's own, in a browser", "frontend/README.md", hour.first_page)
            demo.process.send_signal(signal.SIGKILL)
            demo.process.wait()
        hour.step("killed and gone on: the open question is answered", "README.md", hour.gone_on)
    table(
        "The first hour",
        [{"": "", "from": "", "seconds": "", "CPU seconds": "", "MiB": "", **row} for row in hour.rows],
    )
    record("first_hour", hour.rows)


if __name__ == "__main__":
    main()
