"""The plans that come with Plancast. They speak through the engine's language model, or the offline one."""

try:
    import pydantic_ai
    import sqlglot
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        f"the templates need {missing.name}, which is not installed: pip install 'plancast[templates]'",
        name=missing.name,
    ) from missing

from plan_engine.templates.business_operations import business_operations
from plan_engine.templates.data_query import data_query
from plan_engine.templates.exhibition import exhibition
from plan_engine.templates.insight_chat import insight_chat
from plan_engine.templates.team import team
from plan_engine.templates.trip import trip

__all__ = ["business_operations", "data_query", "exhibition", "insight_chat", "team", "trip"]

del pydantic_ai, sqlglot
