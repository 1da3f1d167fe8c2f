"""The logs that the contract suite tests: one small module each, which is found automatically.

To add a log: a module in this directory with a subclass of `Backend` and, at its end, `BACKENDS = [ThatClass()]`.
Every test of the suite then runs with it, on a URL of its own. See `sqlite.py` for the smallest one.
"""

from __future__ import annotations

import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Sequence
from copy import copy
from typing import ClassVar

import pytest

__all__ = ["Backend", "all_backends"]


class Backend(ABC):
    """A kind of log, with its real server.

    `start` and `stop` are synchronous, and called once a session: a server is a process that runs longer than the event
    loop of a test.
    """

    name: ClassVar[str]
    """Part of the names of the tests."""
    marks: ClassVar[Sequence[pytest.MarkDecorator]] = ()
    """Marks of every test with this backend, such as `(pytest.mark.slow,)`."""

    @abstractmethod
    def start(self) -> None:
        """Start the server. Calls `pytest.skip` with the reason if it can't run."""

    @abstractmethod
    def url(self) -> str:
        """The URL of an empty log that no other test uses: another database, prefix or file each time."""

    @abstractmethod
    def stop(self) -> None:
        """Stop the server."""


def all_backends() -> list[Backend]:
    """The backends of all modules here by name; copies, which the caller may start."""
    modules = [importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)]
    found = sorted((backend for module in modules for backend in module.BACKENDS), key=lambda backend: backend.name)
    return [copy(backend) for backend in found]
