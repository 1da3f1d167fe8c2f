"""The logs that the contract suite runs against: one small module each, found by itself.

To add a log: a module in this directory with a subclass of `Backend` and, at its end, `BACKENDS = [ThatClass()]`.
Every test of the suite then runs against it, with a URL of its own. See `sqlite.py` for the smallest one.
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
    """A kind of log with the real thing behind it.

    `start` and `stop` are plain functions, called once a session: a server is a process of its own and outlives the
    event loop of any test.
    """

    name: ClassVar[str]
    """Stands in the names of the tests."""
    marks: ClassVar[Sequence[pytest.MarkDecorator]] = ()
    """Put on every test with this backend, e.g. `(pytest.mark.slow,)`."""

    @abstractmethod
    def start(self) -> None:
        """Make the real thing ready. Calls `pytest.skip` with the reason where it can't run."""

    @abstractmethod
    def url(self) -> str:
        """A log that is empty, and that no other test shares: another database, prefix or file each time."""

    @abstractmethod
    def stop(self) -> None:
        """End what `start` began."""


def all_backends() -> list[Backend]:
    """Every backend of every module here, in the order of their names; the caller's own, so each may be started."""
    modules = [importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)]
    found = sorted((backend for module in modules for backend in module.BACKENDS), key=lambda backend: backend.name)
    return [copy(backend) for backend in found]
