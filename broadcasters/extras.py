"""Packages that belong to an extra: where one is missing, the error says what to install."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from broadcasters.errors import PlancastError

__all__ = ["ExtraMissing", "extra"]


class ExtraMissing(PlancastError, ModuleNotFoundError):
    """A package is missing; the message says what to install."""


@contextmanager
def extra(name: str, purpose: str) -> Generator[None]:
    """Import the packages of an extra.

    Args:
        name: The extra, as in `pip install 'plancast[name]'`.
        purpose: What requires them, for the message.

    Raises:
        ExtraMissing: A package is missing.

    Example:
        with extra("engine", "running plans"):
            from dbos import DBOSClient
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if isinstance(error, ExtraMissing) or error.name is None:
            raise
        package = error.name.partition(".")[0]
        raise ExtraMissing(f"{purpose} requires {package}: pip install 'plancast[{name}]'", name=error.name) from None
