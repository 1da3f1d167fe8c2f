"""The image of deploy/Containerfile without a container engine: its environment built in a folder, and its processes.

`build` carries out the stage `environment` line by line, with /src and /opt/plancast in the folder. (The page is taken
from the checkout; the stage `page` isn't carried out.) As root, processes run as in a container: as process 1, as the
image's user, without capabilities and without a directory they may write to, except /tmp.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pytest

from tests.servers.process import eventually

__all__ = ["CONTAINERFILE", "ROOT", "Image", "ImageProcess", "Instruction", "instructions"]

ROOT = Path(__file__).parents[2]
CONTAINERFILE = ROOT / "deploy/Containerfile"
PATHS = re.compile(r"(?<![\w/.])(/src|/opt/plancast|/var/lib/plancast)(?![\w-])")
BUILD_S = 900


@dataclass(frozen=True, slots=True)
class Instruction:
    word: str
    text: str

    @property
    def words(self) -> list[str]:
        """The words of an instruction in the exec form."""
        found: list[str] = json.loads(self.text[self.text.index("[") :])
        return found


def instructions(stage: str | None) -> list[Instruction]:
    """The instructions of this stage of the Containerfile; of the last one for None."""
    text = re.sub(r"^\s*#.*\n", "", CONTAINERFILE.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    found: dict[str | None, list[Instruction]] = {}
    name: str | None = ""
    for line in filter(None, map(str.strip, text.splitlines())):
        word, rest = line.split(maxsplit=1)
        if word == "FROM":
            name = rest.partition(" AS ")[2] or None
        found.setdefault(name, []).append(Instruction(word, rest.strip()))
    return found[stage]


def _python() -> str:
    """An interpreter that the image's user can reach; this one may be in root's home directory."""
    for path in map(Path, (sys.executable, "/usr/bin/python3")):
        if path.exists() and all(parent.stat().st_mode & 0o001 for parent in path.resolve().parents):
            return str(path)
    pytest.skip(f"other users can't run {sys.executable}, and there is no /usr/bin/python3")


def _ignored(folder: str, names: list[str]) -> list[str]:
    """Those of the folder's entries that .dockerignore leaves out of the build context."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    patterns = [line for line in lines if line != "*" and not line.startswith(("#", "!"))]
    paths = [Path(folder).relative_to(ROOT) / name for name in names]
    return [path.name for path in paths if any(map(path.match, patterns))]


class Image:
    """`with Image() as image: image.start({...}, "serve")`. Building takes a minute, and packages from a registry."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="plancast-image-"))
        self.folder.chmod(0o755)  # the image's user must reach it
        self._base = self.folder / "base"
        self._at = self.folder
        self._variables: dict[str, str] = {}

    def __enter__(self) -> Self:
        try:
            self._build()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def environment(self) -> dict[str, str]:
        """The variables that the image sets."""
        paths = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
        return paths | self._defined([each.text for each in instructions(None) if each.word == "ENV"], paths["PATH"])

    @property
    def packages(self) -> Path:
        return next((self.folder / "opt/plancast/lib").glob("python3*/site-packages"))

    def words(self, name: str) -> list[str]:
        """The words of ENTRYPOINT, CMD or HEALTHCHECK."""
        return next(each.words for each in instructions(None) if each.word == name)

    def start(self, variables: Mapping[str, str], *words: str) -> ImageProcess:
        """Run the image with these variables and words, the default command without any."""
        return ImageProcess(self, variables, [*self.words("ENTRYPOINT"), *(words or self.words("CMD"))])

    def run(self, variables: Mapping[str, str], *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command with the image's variables and these, as an engine runs a health check."""
        return subprocess.run(
            self.command(*command), env={**self.environment, **variables}, capture_output=True, text=True, timeout=60
        )

    def command(self, *words: str) -> list[str]:
        program = shutil.which(words[0], path=self.environment["PATH"])
        assert program is not None, words
        return [program, *words[1:]]

    # ---- the build

    def _build(self) -> None:
        for folder in ("src", "opt", "var/lib/plancast"):
            (self.folder / folder).mkdir(parents=True)
        subprocess.run([_python(), "-m", "venv", self._base], check=True)
        for each in instructions("environment"):
            if each.word == "WORKDIR":
                self._at = Path(self._mapped(each.text))
            elif each.word == "ENV":
                self._variables |= self._defined([each.text], "")
            elif each.word == "COPY":
                self._copy(shlex.split(each.text))
            elif each.word == "RUN":
                self._run(self._mapped(each.text))

    def _mapped(self, text: str) -> str:
        return PATHS.sub(lambda path: f"{self.folder}{path[0]}", text)

    def _defined(self, texts: list[str], path: str) -> dict[str, str]:
        words = [word.partition("=") for text in texts for word in shlex.split(text)]
        return {name: self._mapped(value).replace("${PATH}", path) for name, _, value in words}

    def _copy(self, words: list[str]) -> None:
        sources, target = words[:-1], self._at / words[-1]
        if sources[0] == "--from=page":
            sources = [sources[1].removeprefix("/src/")]
        for source in sources:
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, target, ignore=_ignored, dirs_exist_ok=True)
            else:
                target.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / source, target)

    def _run(self, line: str) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        env = clean | self._variables | {"PATH": f"{self._base}/bin:/usr/bin:/bin"}
        done = subprocess.run(
            ["bash", "-euc", line], cwd=self._at, env=env, capture_output=True, text=True, timeout=BUILD_S
        )
        assert done.returncode == 0, f"RUN {line}\n{done.stdout}{done.stderr}"


class ImageProcess:
    """A process of the image. The caller must `close` it."""

    def __init__(self, image: Image, variables: Mapping[str, str], words: list[str]) -> None:
        self._output = Path(tempfile.mkstemp(prefix="plancast-output-")[1])
        contained = os.geteuid() == 0
        user = next(each.text for each in instructions(None) if each.word == "USER").split(":")
        isolate = ["unshare", "--pid", "--mount-proc", "--fork", "--kill-child"]
        isolate += ["setpriv", f"--reuid={user[0]}", f"--regid={user[1]}", "--clear-groups"]
        isolate += ["--no-new-privs", "--bounding-set=-all"]
        self._contained = contained
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(
                [*(isolate if contained else ()), *image.command(*words)],
                env={**image.environment, **variables},
                cwd=image.environment["HOME"],
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
            )

    @property
    def pid(self) -> int:
        """The program's process id here; in its own namespace it is 1."""
        if not self._contained:
            return self._process.pid
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        return int(eventually("the program was started", lambda: children.read_text().strip()).split()[0])

    @property
    def output(self) -> str:
        return self._output.read_text(errors="replace")

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def wait(self, deadline_s: float = 60) -> int:
        """Waits for its end; returns its exit status."""
        return self._process.wait(deadline_s)

    def until_output(self, text: str) -> None:
        eventually(f"the output has {text!r}", lambda: text in self.output or self.ended)
        assert text in self.output, self.output

    def close(self) -> None:
        if not self.ended:
            os.kill(self.pid, signal.SIGKILL)  # unshare's --kill-child has no effect on a process of another user
            self._process.wait()
        self._output.unlink()
