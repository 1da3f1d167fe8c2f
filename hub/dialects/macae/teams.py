"""A user's teams, in the log: each is a plan of its own, under an id and a label that are reserved for the hub.

So they are where the plans are: they survive restarts, every hub on the log has them, and no other request can list, read
or change them. The team that was uploaded or selected last is the current one: its plan had the last event.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from broadcasters.checkpointing import snapshot_of
from broadcasters.events import PlanUpdate, build, timestamp
from broadcasters.log.contract import PlanEntry
from hub.access.principal import RESERVED
from hub.api.problems import Problem
from hub.dialects.dialect import plan_id_of
from hub.dialects.macae.shapes import unescaped
from hub.node import Hub

__all__ = [
    "MAX_TEAMS",
    "MAX_TEAM_BYTES",
    "AgentConfig",
    "StartingTask",
    "TeamConfig",
    "TeamUpload",
    "Teams",
    "team_in_file",
]

MAX_AGENTS: Final = 6
"""The page refuses more before it uploads them."""
MAX_TEAMS: Final = 50
MAX_TEAM_BYTES: Final = 128 * 1024
READS_AT_ONCE: Final = 8

Short = Annotated[str, Field(max_length=1000)]


class AgentConfig(BaseModel):
    """An agent of a team. `deployment_name` is kept, but the engine's own model answers."""

    model_config = ConfigDict(extra="ignore")

    input_key: Short = ""
    type: Short = ""
    name: Annotated[str, Field(min_length=1, max_length=100, pattern=r"\S")]
    deployment_name: Short = ""
    system_message: Annotated[str, Field(max_length=20_000)] = ""
    description: Annotated[str, Field(max_length=4000)] = ""
    icon: Short = ""
    coding_tools: bool = False


class StartingTask(BaseModel):
    """A task that the page offers for a team."""

    model_config = ConfigDict(extra="ignore")

    id: Short = ""
    name: Annotated[str, Field(min_length=1, max_length=1000)]
    prompt: Annotated[str, Field(min_length=1, max_length=4000)]
    created: Short = ""
    creator: Short = ""
    logo: Short = ""


class TeamUpload(BaseModel):
    """A team as it is uploaded. Unknown fields are ignored, and so are its ids."""

    model_config = ConfigDict(extra="ignore")

    name: Annotated[str, Field(min_length=1, max_length=200, pattern=r"\S")]
    description: Annotated[str, Field(max_length=4000)] = ""
    status: Literal["visible", "hidden"] = "visible"
    logo: Short = ""
    plan: Annotated[str, Field(max_length=4000)] = ""
    deployment_name: Short = ""
    agents: Annotated[list[AgentConfig], Field(min_length=1, max_length=MAX_AGENTS)]
    starting_tasks: Annotated[list[StartingTask], Field(max_length=50)] = Field(default_factory=list[StartingTask])

    @field_validator("agents")
    @classmethod
    def _names_differ(cls, agents: list[AgentConfig]) -> list[AgentConfig]:
        if len({agent.name for agent in agents}) < len(agents):
            raise ValueError("two agents have the same name; give each its own")
        return agents


class TeamConfig(TeamUpload):
    """A team as the page gets it."""

    id: str
    team_id: str
    session_id: str
    created: str
    created_by: str
    user_id: str


def team_in_file(content: bytes) -> TeamUpload:
    """The team in an uploaded file. Raises `Problem`, whose detail is for the person who uploaded it."""
    if len(content) > MAX_TEAM_BYTES:
        raise _unfit(f"The file has {len(content):,} bytes; a team may have at most {MAX_TEAM_BYTES:,}.")
    try:
        return TeamUpload.model_validate(json.loads(content))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"]))
        what = first["msg"].removeprefix("Value error, ")
        raise _unfit(
            f"The team can't be used: {where}: {what}." if where else f"The team can't be used: {what}."
        ) from None
    except (ValueError, RecursionError):
        raise _unfit("The file is not valid JSON; expected a team configuration.") from None


def _unfit(detail: str) -> Problem:
    return Problem("invalid_team", detail, status=400)


class Teams:
    """The teams of all users. The caller has checked the right to the user's."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def of(self, user: str) -> list[TeamConfig]:
        """The user's teams, the current one first."""
        page = await self._hub.log.plans(label=_label(user), limit=MAX_TEAMS)
        limit = asyncio.Semaphore(READS_AT_ONCE)

        async def read(entry: PlanEntry) -> TeamConfig | None:
            async with limit:
                return await self._read(entry.plan_id)

        return [team for team in await asyncio.gather(*map(read, page.plans)) if team is not None]

    async def current(self, user: str) -> str:
        """The id of the current team; "" if the user has none."""
        page = await self._hub.log.plans(label=_label(user), limit=1)
        return unescaped(page.plans[0].plan_id.rpartition(":")[2]) if page.plans else ""

    async def one(self, user: str, team_id: str) -> TeamConfig:
        """The user's team of this id. Raises `Problem` if there is none."""
        team = await self._read(_plan_id(user, team_id)) if team_id else None
        if team is None:
            raise Problem("no_such_team", f"There is no team {team_id:.60}; it may have been deleted.", status=404)
        return team

    async def add(self, user: str, upload: TeamUpload) -> TeamConfig:
        """Keep a team under new ids; it becomes the current one."""
        page = await self._hub.log.plans(label=_label(user), limit=MAX_TEAMS)
        if len(page.plans) >= MAX_TEAMS:
            raise _unfit(f"There are {MAX_TEAMS} teams already; delete one first.")
        team_id, now = str(uuid.uuid4()), timestamp()
        fields = upload.model_dump() | {"id": team_id, "team_id": team_id, "session_id": team_id}
        fields |= {"created": now, "created_by": user, "user_id": user}
        fields["agents"] = [_with_names(agent) for agent in upload.agents]
        fields["starting_tasks"] = [_with_id(task, number) for number, task in enumerate(upload.starting_tasks, 1)]
        team = TeamConfig.model_validate(fields)
        await self._put(user, team_id, {"title": team.name, "labels": [_label(user)], "data": team.model_dump()})
        return team

    async def select(self, user: str, team_id: str) -> TeamConfig:
        """Make it the current team."""
        team = await self.one(user, team_id)
        await self._put(user, team_id, {})
        return team

    async def delete(self, user: str, team_id: str) -> None:
        """Delete it. Raises `Problem` if there is none."""
        await self.one(user, team_id)
        await self._hub.log.delete(_plan_id(user, team_id))

    async def _put(self, user: str, team_id: str, fields: Mapping[str, Any]) -> None:
        update = build(PlanUpdate, {"plan_id": _plan_id(user, team_id), "status": "completed", **fields})
        await self._hub.broadcaster.send(update)

    async def _read(self, plan_id: str) -> TeamConfig | None:
        snapshot, _ = await snapshot_of(self._hub.log, plan_id)
        return TeamConfig.model_validate(snapshot.result) if snapshot.result else None


def _label(user: str) -> str:
    return f"{RESERVED}{plan_id_of('macae', user)}"


def _plan_id(user: str, team_id: str) -> str:
    return f"{RESERVED}{plan_id_of('team', user, team_id)}"


def _with_names(agent: AgentConfig) -> AgentConfig:
    return agent.model_copy(update={"input_key": agent.input_key or agent.name, "type": agent.type or agent.name})


def _with_id(task: StartingTask, number: int) -> StartingTask:
    return task.model_copy(update={"id": task.id or f"task-{number}"})
