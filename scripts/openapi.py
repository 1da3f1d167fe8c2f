"""The OpenAPI document of a hub that has an engine. `python -m scripts.openapi` writes it to docs/openapi.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from hub.app import create_app
from hub.commands.embedded import Embedded
from hub.config.settings import load
from hub.node import Hub
from plan_engine import Engine

__all__ = ["COMMITTED", "document", "written"]

COMMITTED: Final = Path(__file__).parents[1] / "docs" / "openapi.json"


def document() -> dict[str, Any]:
    """The OpenAPI document. Opens neither log nor database."""
    settings = load({"PLANCAST_LOG": "sqlite:////nowhere/plans.db"})
    engine = Engine("sqlite:////nowhere/engine.db", settings.log)
    made: dict[str, Any] = create_app(Hub(settings, engine=Embedded(engine))).openapi()
    return made


def written(made: dict[str, Any]) -> str:
    """The document as the text of its file."""
    return json.dumps(made, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    COMMITTED.write_text(written(document()), encoding="utf-8")
