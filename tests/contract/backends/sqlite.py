"""The embedded log, a new file for every test."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path

from tests.contract.backends import Backend


class Sqlite(Backend):
    name = "sqlite"

    def start(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="plancast-contract-")
        self._numbers = itertools.count(1)

    def url(self) -> str:
        return f"sqlite:///{Path(self._directory.name) / f'{next(self._numbers)}.db'}"

    def stop(self) -> None:
        self._directory.cleanup()


BACKENDS = [Sqlite()]
