"""Rules for the whole repository: import layers, names, sizes, tasks, dependencies, documents."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PACKAGES = ("broadcasters", "hub", "plan_engine", "plancast")
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
MODULES = sorted(path.relative_to(ROOT) for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
CODE = sorted(
    path.relative_to(ROOT)
    for folder in (*PACKAGES, "tests", "bench", "examples")
    for path in (ROOT / folder).rglob("*.py")
)


def tree_of(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text(), filename=str(path))


# --- import layers


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    linter = Path(sys.executable).with_name("lint-imports")
    command = [str(linter), "--no-cache", "--config", str(ROOT / "pyproject.toml")]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100)


def test_imports_follow_the_layers() -> None:
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def copy_with(files: dict[str, str], folder: Path) -> Path:
    """Copies the packages to this folder, with these files added by path."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    for path, text in files.items():
        (folder / path).write_text(text + "\n")
    return folder


def test_an_import_against_the_layers_is_detected(tmp_path: Path) -> None:
    wrong = {
        "broadcasters/log/wrong.py": "import broadcasters.broadcaster\nimport plan_engine\nimport plancast",
        "plan_engine/model/wrong.py": "import plan_engine.engine\nimport hub.cli",
        "plan_engine/run/wrong.py": "import plan_engine.run.plan_run",
        "plan_engine/worker/wrong.py": "import plan_engine.worker.worker",
        "hub/wire/wrong.py": "import hub.core\nimport plan_engine",
    }
    right = {"hub/commands/right.py": "import plan_engine"}
    done = lint_imports(copy_with(wrong | right, tmp_path))
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stdout.count(" BROKEN") == len(PROJECT["tool"]["importlinter"]["contracts"])
    assert "hub.commands.right" not in done.stdout


@pytest.mark.parametrize("package", ["broadcasters", "hub", "plan_engine"])
def test_a_module_outside_every_layer_is_detected(tmp_path: Path, package: str) -> None:
    done = lint_imports(copy_with({f"{package}/outside.py": ""}, tmp_path))
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"{package}.outside" in done.stdout


# --- names and sizes


def test_no_module_has_a_generic_name() -> None:
    generic = {"utils", "util", "helpers", "helper", "common", "constants", "misc", "types", "manager"}
    assert [path for path in MODULES if generic & {part.removesuffix(".py") for part in path.parts}] == []


def test_no_class_is_a_manager_and_nothing_is_unimplemented() -> None:
    found = []
    for path in MODULES:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ClassDef) and node.name.endswith("Manager"):
                found.append(f"{path}: {node.name}")
            if isinstance(node, ast.Name) and node.id == "NotImplementedError":
                found.append(f"{path}: {node.id}")
    assert found == []


ALLOWED_TWICE: dict[str, str] = {}
"""Class names that two modules define, with the reason."""


def classes() -> Iterator[tuple[str, str]]:
    """Every class of the three packages, private and nested ones included: (name, module)."""
    for path in MODULES:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ClassDef):
                yield node.name, path.as_posix()


def test_a_class_name_is_used_once() -> None:
    modules: dict[str, list[str]] = {}
    for name, path in classes():
        modules.setdefault(name, []).append(path)
    repeated = {name: paths for name, paths in modules.items() if len(paths) > 1}
    assert {name: paths for name, paths in repeated.items() if name not in ALLOWED_TWICE} == {}
    assert set(ALLOWED_TWICE) <= set(repeated), "remove the names that are used once"


def test_files_and_functions_stay_small() -> None:
    found = []
    for path in CODE:
        is_test = path.parts[0] == "tests"
        tree = tree_of(path)
        lines = len((ROOT / path).read_text().splitlines())
        if lines > (700 if is_test else 400):
            found.append(f"{path}: {lines} lines")
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not is_test:
                length = (node.end_lineno or 0) - node.lineno + 1
                if length > 60:
                    found.append(f"{path}: {node.name} has {length} lines")
    assert found == []


# --- tasks

STARTERS = {"create_task", "ensure_future", "run_coroutine_threadsafe"}
KEPT = {
    "broadcasters/checkpointing.py: DueCheckpoints.add": "logs a failed checkpoint, and takes the next one",
    "broadcasters/log/http/append_batches.py: AppendBatches._send": "fails the appends it carries",
    "broadcasters/log/redis/tail.py: _Subscriptions.add": "fails the watches it had to place",
    "broadcasters/streamed_message.py: RollUp._send_part": "its failure is raised by the next write or by close",
    "broadcasters/outbox.py: Outbox._begin": "its callback fails the events that remain",
    "broadcasters/loop_thread.py: LoopThread._submit": "raises in the waiting thread",
    "hub/commands/watch.py: _FollowedPlans._start": "raises in the task group that it belongs to",
    "hub/core/connection.py: Connection._spawn": "its callback closes the connection it worked for",
    "hub/core/history.py: ChannelReader.start": "its callback refuses the subscriber it worked for",
    "hub/core/tail.py: ChannelTail._spawn": "its callback ends the channel it worked for",
    "hub/transports/sse.py: EventStreamClient._settle": "raises in the stream it worked for",
    "plan_engine/run/plan_run.py: PlanRun._start": "raises in the run, which waits for all its steps",
}
"""Functions that start a task and handle its failure in another way. No task outlives its purpose."""


def functions(node: ast.AST, names: tuple[str, ...] = ()) -> Iterator[tuple[str, ast.AST]]:
    """Every function below this node, by its qualified name."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield ".".join((*names, child.name)), child
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from functions(child, (*names, child.name))
        else:
            yield from functions(child, names)


def within(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes of this function or loop, without those of functions inside it."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            yield child
            yield from within(child)


def called(node: ast.AST) -> str:
    if not isinstance(node, ast.Call):
        return ""
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def names_of(task: ast.AST, nodes: list[ast.AST]) -> Iterator[str]:
    """The names to which the function assigns this task."""
    for node in nodes:
        if isinstance(node, ast.Assign) and task in ast.walk(node.value):
            for target in node.targets:
                parts = target.elts if isinstance(target, ast.Tuple) else [target]
                yield from (ast.unparse(part) for part in parts if isinstance(part, ast.Name | ast.Attribute))


def unobserved(tree: ast.Module) -> list[str]:
    """The functions that start a task but do not await it, take its result, or have its failure logged."""
    found = []
    for name, function in functions(tree):
        nodes = list(within(function))
        ends = [
            node for node in nodes if isinstance(node, ast.Await) or called(node) in ("result", "add_done_callback")
        ]
        observed = [
            text for node in ends if "add_done_callback" not in (text := ast.unparse(node)) or "log_failure" in text
        ]
        for task in (node for node in nodes if called(node) in STARTERS):
            words = [re.compile(rf"\b{re.escape(word)}\b") for word in names_of(task, nodes)]
            if not any(word.search(text) for word in words for text in observed):
                found.append(name)
    return found


def endless(tree: ast.Module) -> list[str]:
    """The coroutines with a loop that only an exception ends. (A generator's consumer ends it.)"""
    found = []
    for name, function in functions(tree):
        nodes = list(within(function))
        if not isinstance(function, ast.AsyncFunctionDef) or any(isinstance(node, ast.Yield) for node in nodes):
            continue
        loops = [node for node in nodes if isinstance(node, ast.While) and isinstance(node.test, ast.Constant)]
        found += [name for loop in loops if not any(isinstance(at, ast.Return | ast.Break) for at in within(loop))]
    return found


def test_only_the_supervisor_has_endless_loops() -> None:
    """Other repeated work is a coroutine that returns, passed to `Supervisor.repeat`."""
    found = [f"{path}: {name}" for path in MODULES for name in endless(tree_of(path))]
    assert found == ["broadcasters/supervision.py: Supervisor.repeat.keep"]


def test_every_task_failure_is_observed() -> None:
    found = [f"{path.as_posix()}: {name}" for path in MODULES for name in unobserved(tree_of(path))]
    assert sorted(set(found)) == sorted(KEPT)


def test_an_unobserved_task_and_an_endless_loop_are_detected() -> None:
    tree = ast.parse("""
class Hub:
    async def beat(self):
        while True:
            await self.compare()

    async def ends(self):
        while True:
            if await self.compare():
                return

    def open(self):
        self._beat = asyncio.create_task(self.beat())

    def discards(self):
        task = loop.create_task(self.compare())
        task.add_done_callback(self._tasks.discard)

    async def waits(self):
        task = asyncio.ensure_future(self.compare())
        await asyncio.wait({task})

    def logs(self):
        task = asyncio.create_task(self.compare())
        task.add_done_callback(log_failure)

    async def together(self):
        async with asyncio.TaskGroup() as beats:
            beats.create_task(self.beat())
""")
    assert endless(tree) == ["Hub.beat"]
    assert unobserved(tree) == ["Hub.open", "Hub.discards", "Hub.together"]


# --- public names


def exported(tree: ast.Module) -> list[str] | None:
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            return list(ast.literal_eval(node.value))
    return None


def defined(tree: ast.Module) -> set[str]:
    """The public functions and classes a module itself defines."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return {node.name for node in tree.body if isinstance(node, kinds) and not node.name.startswith("_")}


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_all_lists_every_public_name_of_a_module(path: Path) -> None:
    tree = tree_of(path)
    names = exported(tree)
    if path.name == "__main__.py" or not tree.body or (path.name == "__init__.py" and len(tree.body) == 1):
        return
    assert names is not None, "has no __all__"
    assert len(set(names)) == len(names)
    assert defined(tree) <= set(names)


def imported() -> Iterator[tuple[Path, Path, str]]:
    """Every name that one of our modules imports from another: (importer, module, name)."""
    for path in MODULES:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in PACKAGES:
                for alias in node.names:
                    source = Path(*node.module.split("."))
                    if not (ROOT / source / f"{alias.name}.py").exists() and not (ROOT / source / alias.name).is_dir():
                        is_package = (ROOT / source).is_dir()
                        yield path, source / "__init__.py" if is_package else source.with_suffix(".py"), alias.name


def test_modules_import_only_what_others_export() -> None:
    exports = {path: exported(tree_of(path)) or [] for path in MODULES}
    assert [f"{by}: {name} of {source}" for by, source, name in imported() if name not in exports.get(source, [])] == []


# --- what is installed


def locked(lock: str = "requirements.lock") -> dict[str, str]:
    lines = (ROOT / lock).read_text().splitlines()
    pins = (re.match(r"([A-Za-z0-9._-]+)==([^\s;]+)", line) for line in lines)
    return {canonicalize_name(pin[1]): pin[2] for pin in pins if pin}


def required() -> dict[str, Requirement]:
    """The requirements in pyproject.toml, with all extras and those for development."""
    project, groups = PROJECT["project"], PROJECT["dependency-groups"]
    texts = [*project["dependencies"], *PROJECT["build-system"]["requires"]]
    texts += [text for extra in project["optional-dependencies"].values() for text in extra]
    return by_name([*texts, *groups["install"], *[each for each in groups["dev"] if isinstance(each, str)]])


def by_name(texts: list[str]) -> dict[str, Requirement]:
    requirements = [Requirement(text) for text in texts]
    return {canonicalize_name(each.name): each for each in requirements if each.name != PROJECT["project"]["name"]}


OF_DOCUMENTATION = by_name(PROJECT["dependency-groups"]["docs"])
LOCKS = {"requirements.lock": required(), "requirements-docs.lock": OF_DOCUMENTATION}


@pytest.mark.parametrize("lock", LOCKS)
def test_the_lock_satisfies_the_requirements(lock: str) -> None:
    pins = locked(lock)
    wanted = LOCKS[lock].items()
    missing = [name for name, each in wanted if name not in pins or not each.specifier.contains(pins[name])]
    assert missing == [], "run: make lock"


def test_the_lock_for_running_is_a_part_of_the_lock() -> None:
    assert locked("requirements-run.lock").items() <= locked().items()
    needed = {canonicalize_name(Requirement(text).name) for text in PROJECT["project"]["dependencies"]}
    assert needed <= set(locked("requirements-run.lock")) < set(locked())


@pytest.mark.parametrize("lock", [*LOCKS, "requirements-run.lock"])
def test_the_lock_contains_no_url(lock: str) -> None:
    assert "://" not in (ROOT / lock).read_text()


def test_the_installed_versions_are_those_of_the_lock() -> None:
    assert {name: version(name) for name in required()} == {name: locked()[name] for name in required()}


def test_every_dependency_has_a_documented_reason() -> None:
    python, page = (ROOT / "docs/dependencies.md").read_text().split("## The page and its client")
    packages = [json.loads((ROOT / f"frontend/{name}").read_text()) for name in ("package.json", "tests/package.json")]
    assert reasons_of(python) == {*required(), *OF_DOCUMENTATION}
    assert reasons_of(page) == {name for package in packages for name in package["devDependencies"]}
    assert not any(package.get("dependencies") for package in packages)


def reasons_of(text: str) -> set[str]:
    """The packages in the tables of this text; each row must have its own reason."""
    rows = re.findall(r"^\| (`[^|]+`) \| (.+) \|$", text, re.MULTILINE)
    assert len({reason for _, reason in rows}) == len(rows)
    return {name for names, _ in rows for name in re.findall(r"`([^`]+)`", names)}


# --- documents

LINK = re.compile(r"\]\((?!http)([^)#]*)#?([^)]*)\)")


def blocks(document: str, language: str) -> list[str]:
    text = (ROOT / document).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def isolated_environment(tmp_path: Path) -> dict[str, str]:
    """An environment with this checkout's `plancast` command and a log of its own."""
    scripts = str(Path(sys.executable).parent)
    mine = {"PLANCAST_LOG": f"sqlite:///{tmp_path}/plans.db", "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"}
    return {**os.environ, **mine, "HOME": str(tmp_path)}


def test_the_examples_of_the_readme_work(tmp_path: Path) -> None:
    env = isolated_environment(tmp_path)
    programs = blocks("README.md", "python")
    assert programs
    for program in programs:
        run = [sys.executable, "-c", program]
        done = subprocess.run(run, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
    commands = [line for block in blocks("README.md", "sh") for line in block.splitlines() if "plancast" in line]
    assert commands
    for command in commands:
        done = subprocess.run(command, shell=True, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, (command, done.stderr)
        assert done.stdout, command


def test_the_readme_names_the_two_commands_in_its_first_screen() -> None:
    first_screen = (ROOT / "README.md").read_text().splitlines()[:25]
    named = {command for line in first_screen for command in re.findall(r"^make [a-z]+", line)}
    assert named == {"make run", "make test"}


def test_both_readmes_show_the_same_page_example() -> None:
    """frontend/tests/package compiles and runs the example of the frontend's README."""
    assert blocks("README.md", "tsx") == blocks("frontend/README.md", "tsx")


def test_make_commands_in_documents_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for document in ("README.md", "CONTRIBUTING.md", ".ci/run", "docs/decisions.md"):
        named = set(re.findall(r"(?:^|`)make ([a-z-]+)", (ROOT / document).read_text(), re.MULTILINE))
        assert named, document
        assert named <= targets, document


def documents() -> list[Path]:
    others = ("frontend/README.md", "tests/vectors/README.md")
    found = [*sorted(ROOT.glob("docs/**/*.md")), *sorted(ROOT.glob("examples/*/README.md"))]
    return [*ROOT.glob("*.md"), *(ROOT / name for name in others), *found]


def anchors(path: Path) -> set[str]:
    """The anchors of this document that a link may use."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_between_documents_resolve() -> None:
    links = [(path, *link) for path in documents() for link in LINK.findall(path.read_text())]
    assert any(anchor for *_, anchor in links)
    broken = []
    for path, name, anchor in links:
        target = path.parent / name if name else path
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            broken.append(f"{path.name}: {name}#{anchor}")
    assert broken == []


def test_files_and_tests_that_documents_name_exist() -> None:
    tests = {
        node.name
        for path in CODE
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    }
    missing = []
    for document in documents():
        text = document.read_text()
        files = re.findall(r"`((?:tests|hub|broadcasters|plan_engine|frontend|bench)/[\w/.]+\.(?:py|tsx?|lua))`", text)
        missing += [f"{document.name}: {name}" for name in files if not (ROOT / name).exists()]
        named = re.findall(r"`(test_\w+)`", text)
        missing += [f"{document.name}: {name}" for name in named if name not in tests]
    assert missing == []


def test_contributing_lists_every_command_and_every_directory() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    targets = re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"^\| `make ([a-z-]+)` \|", text, re.MULTILINE)) == set(targets) - {"help"}
    folders = {path.name for path in ROOT.iterdir() if path.is_dir() and any(path.iterdir())}
    directories = {name for name in folders if not name.startswith((".", "_"))} - {"build", "dist"}
    assert set(re.findall(r"^([a-z_]+)/ ", text, re.MULTILINE)) == directories


def test_the_first_plan_is_shown_to_its_end(tmp_path: Path) -> None:
    command = [sys.executable, "examples/first_plan.py", "--speed", "0", "--plan-id", "first"]
    done = subprocess.run(
        command, env=isolated_environment(tmp_path), cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    for shown in ("attempt 2 of 3", "60 %", "approval needed", "yes, says maria", "completed: The offer goes out"):
        assert shown in done.stdout
    assert f"tail first{os.linesep}" in done.stdout
    assert printed_events(ROOT.joinpath("README.md").read_text()) <= printed_events(done.stdout)


def printed_events(text: str) -> set[str]:
    """The lines that `plancast tail` printed, without times and durations."""
    lines = re.findall(r"^\d\d:\d\d:\d\d (.+)$", text, re.MULTILINE)
    assert lines
    return {re.sub(r"\(\d+\.\d s\)", "", line).rstrip() for line in lines}
