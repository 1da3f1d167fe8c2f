"""Command lines run in this process."""

from __future__ import annotations

import io
import json
import shlex
from dataclasses import dataclass
from typing import Any

import pytest

from hub.cli import main

__all__ = ["CommandLines", "Done"]


@dataclass(frozen=True)
class Done:
    """The exit code and the outputs of a command line."""

    code: object
    out: str
    err: str

    @property
    def objects(self) -> list[Any]:
        """The lines of the output as JSON."""
        return [json.loads(line) for line in self.out.splitlines()]


class _Terminal(io.StringIO):
    """Standard input with a person who types."""

    def isatty(self) -> bool:
        return True


class CommandLines:
    """Runs command lines with an environment of their own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], **env: str) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        for name, value in {"COLUMNS": "100", "TZ": "UTC", **env}.items():
            monkeypatch.setenv(name, value)

    def run(self, line: str, *, stdin: str | None = None, typed: str | None = None) -> Done:
        """Run `plancast …`, with standard input from a pipe, or typed by a person."""
        self._capsys.readouterr()
        if stdin is not None:
            self._monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        if typed is not None:
            self._monkeypatch.setattr("sys.stdin", _Terminal(typed))
        try:
            code: object = main(shlex.split(line)[1:])
        except SystemExit as end:
            code = end.code
        return Done(code, *self._capsys.readouterr())

    def ok(self, line: str, *, stdin: str | None = None) -> Done:
        """Run a command line that must succeed."""
        done = self.run(line, stdin=stdin)
        assert done.code == 0, done.out + done.err
        return done

    def fails(self, line: str, code: int = 1, *, stdin: str | None = None) -> str:
        """The one line of error of a command line that must fail."""
        done = self.run(line, stdin=stdin)
        assert done.code == code, done.out + done.err
        assert done.err.count("\n") == 1, done.err
        return done.err.strip()
