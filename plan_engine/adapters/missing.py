"""What to say when a framework isn't there."""

from __future__ import annotations

__all__ = ["missing"]


def missing(error: ModuleNotFoundError, extra: str, *packages: str) -> ModuleNotFoundError:
    """The error to raise instead: it names what to install. One about none of these packages stays as it is."""
    if error.name is None or error.name.partition(".")[0] not in packages:
        return error
    return ModuleNotFoundError(f"this adapter needs {packages[0]}: pip install 'plancast[{extra}]'", name=error.name)
