"""Packages that belong to an extra: where one is missing, the error says what to install."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from broadcasters.errors import PlancastError

__all__ = ["ExtraMissing", "extra"]


class ExtraMissing(PlancastError, ModuleNotFoundError):
    """A package is missing; the message says what to install, and `fix` is the command that does."""

    def __init__(self, extra: str, purpose: str, module: str) -> None:
        self.fix = f"pip install 'plancast[{extra}]'"
        package = module.partition(".")[0]
        super().__init__(f"{purpose} requires the extra {extra!r}: {self.fix} ({package} is missing)", name=module)


@contextmanager
def extra(name: str, purpose: str) -> Generator[None]:
    """Import the packages of an extra. Of nested blocks, the outermost one's extra is named, which includes the others.

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
        if error.name is None:
            raise
        raise ExtraMissing(name, purpose, error.name) from None
