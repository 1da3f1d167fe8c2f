"""What a traveller asks for, and what comes of it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Day", "Finds", "Intent", "Intents", "Option", "Options", "Poi", "Requirement", "Stop", "TripRequest"]

Poi = dict[str, Any]
"""A point of interest: `name` and whatever else is known. What travellers bring themselves is kept as it is."""
Requirement = dict[str, Any]
"""A `description`, and a `priority`: must or nice."""
Items = Annotated[list[dict[str, Any]], Field(max_length=200)]


class TripRequest(BaseModel):
    """What the traveller says, and how things stand."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"message": "plan a 3 day trip to Tokyo and Kyoto", "pois": []}]}
    )

    message: Annotated[str, Field(min_length=1, max_length=8192, pattern=r"\S")]
    pois: Items = Field(default_factory=list[dict[str, Any]])
    requirements: Items = Field(default_factory=list[dict[str, Any]])
    plan: Items = Field(default_factory=list[dict[str, Any]])


class Intent(BaseModel):
    """One thing the traveller wants. To replace is written `this -> that`."""

    intent: Literal["poi", "requirement", "plan", "other"]
    action: Literal["add", "remove", "replace", "create", "update", "none"]
    value: str

    @property
    def actionable(self) -> bool:
        return self.intent != "other" and self.action != "none"


class Intents(BaseModel):
    """All that is wanted, in the order in which it is done."""

    intents: list[Intent]


class Finds(BaseModel):
    """What the scout proposes: ids of places that were found."""

    ids: list[str]


class Stop(BaseModel):
    """A visit."""

    name: str
    start: Annotated[str, Field(pattern=r"^\d{2}:\d{2}$")]
    end: Annotated[str, Field(pattern=r"^\d{2}:\d{2}$")]


class Day(BaseModel):
    """A day of the trip."""

    day: int
    title: str
    stops: list[Stop]


class Option(BaseModel):
    """One way to do it."""

    title: str
    summary: str
    days: list[Day]


class Options(BaseModel):
    """The ways there are."""

    options: list[Option]
