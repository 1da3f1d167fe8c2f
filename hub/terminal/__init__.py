"""How plans look in a terminal."""

from __future__ import annotations

from hub.terminal.look import Look, clean
from hub.terminal.plan_view import PlanView
from hub.terminal.table import table

__all__ = ["Look", "PlanView", "clean", "table"]
