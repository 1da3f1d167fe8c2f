"""The plans that come with Plancast. They speak through the engine's language model, or the offline one."""

from broadcasters.extras import extra

with extra("templates", "using the built-in templates"):
    import pydantic_ai
    import sqlglot

from plan_engine.templates.business_operations import business_operations
from plan_engine.templates.data_query import data_query
from plan_engine.templates.exhibition import exhibition
from plan_engine.templates.insight_chat import insight_chat
from plan_engine.templates.team import team
from plan_engine.templates.trip import trip

__all__ = ["business_operations", "data_query", "exhibition", "insight_chat", "team", "trip"]

del pydantic_ai, sqlglot
