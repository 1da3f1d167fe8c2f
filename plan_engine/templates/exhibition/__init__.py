"""Template `exhibition`: from a theme to a proposal for an exhibition, in three stages.

Each stage returns what the proposal's page shows once it is done.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel, Field

from plan_engine.errors import StepFailed
from plan_engine.model.plan import Plan, Step
from plan_engine.model.template import template
from plan_engine.models import introduce, prompt_of
from plan_engine.run.context import Context
from plan_engine.templates.exhibition.roles import (
    CollectionWork,
    Pick,
    art_historian,
    collection_artists,
    curator,
    registrar,
    works_by,
)

__all__ = ["STAGES", "Brief", "exhibition"]

STAGES: Final = {"theme_refinement": 25, "artist_discovery": 55, "artwork_discovery": 90}
"""The stages, and the plan's progress when each is done."""


class Brief(BaseModel):
    """The subject of an exhibition."""

    theme: str = Field(min_length=1, max_length=2000, pattern=r"\S")


async def _progress(ctx: Context, percent: float, text: str) -> None:
    ends = [0, *STAGES.values()]
    stage = [*STAGES].index(ctx.step.id)
    overall = ends[stage] + (ends[stage + 1] - ends[stage]) * percent / 100
    await ctx.progress(percent, text, data={"overall": int(overall)})


async def _refine_theme(ctx: Context) -> dict[str, Any]:
    await _progress(ctx, 10, "Refining the theme")
    await introduce(ctx)
    await ctx.think(f"What could “{ctx.input['theme'].strip()[:200]}” be for a visitor who walks in from the street?")
    await _progress(ctx, 50, "Writing the curatorial statement")
    theme = await curator.answer(ctx, prompt_of(theme=ctx.input["theme"]))
    await ctx.say(f"{theme.exhibition_title}: {theme.subtitle}\n\n{theme.curatorial_statement}")
    return theme.model_dump()


async def _discover_artists(ctx: Context) -> dict[str, Any]:
    await _progress(ctx, 10, "Looking through the collection's artists")
    known = {artist.name: f"{artist.name}, {artist.years}, {artist.movement}" for artist in collection_artists()}
    async with ctx.tool("collection_artists") as use:
        await ctx.model.pause(0.6)
        use.result = f"{len(known)} artists"
    await _progress(ctx, 45, "Weighing who fits the theme")
    prompt = prompt_of(theme=ctx.input["theme"], title=_title(ctx), collection=[*known.values()])
    found = await art_historian.answer(ctx, prompt)
    artists = [artist.model_dump() for artist in found.artists if artist.name in known]
    if not artists:
        raise StepFailed("None of the artists proposed is in the collection")
    await ctx.say("I propose " + ", ".join(artist["name"] for artist in artists) + ".")
    return {"artists": artists}


async def _discover_artworks(ctx: Context) -> dict[str, Any]:
    names = [artist["name"] for artist in ctx.results["artist_discovery"]["artists"]]
    works: list[CollectionWork] = []
    for n, name in enumerate(names):
        await _progress(ctx, 10 + 60 * n / len(names), f"Looking for works by {name}")
        async with ctx.tool("collection_works", artist=name) as use:
            await ctx.model.pause(0.4)
            held = works_by([name])
            use.result = [work.title for work in held]
        works += held
    await _progress(ctx, 75, "Choosing the works")
    titles = [f"{work.title} ({work.artist}, {work.year}): {work.shows}" for work in works]
    prompt = prompt_of(theme=ctx.input["theme"], title=_title(ctx), artists=names, collection=titles)
    chosen = _artworks((await registrar.answer(ctx, prompt)).picks, works)
    if not chosen:
        raise StepFailed("None of the works proposed is in the collection")
    await ctx.say(f"{len(chosen)} works, beginning with “{chosen[0]['title']}” by {chosen[0]['artist_name']}.")
    return {"artworks": chosen}


def _artworks(picks: list[Pick], works: list[CollectionWork]) -> list[dict[str, Any]]:
    by_title = {work.title: work for work in works}
    return [
        {
            "title": pick.title,
            "artist_name": by_title[pick.title].artist,
            "year": by_title[pick.title].year,
            "iiif_manifest": by_title[pick.title].iiif_manifest,
            "score": pick.score,
            "reasoning": pick.reasoning,
        }
        for pick in picks
        if pick.title in by_title
    ]


def _title(ctx: Context) -> str:
    title: str = ctx.results["theme_refinement"]["exhibition_title"]
    return title


def _proposal(theme: str, results: Mapping[str, Any]) -> dict[str, Any]:
    proposal: dict[str, Any] = {"theme": theme}
    for stage in STAGES:
        proposal |= results[stage]
    return proposal


@template("exhibition", title="Plan an exhibition", input=Brief)
def exhibition(brief: Brief) -> Plan:
    """Give a theme (“Surrealism and dreams”) to get a proposal for an exhibition: its title, artists and artworks."""
    steps = [
        Step("theme_refinement", "Refine the theme", _refine_theme, retries=1, weight=25, agent_name=curator.name),
        Step(
            "artist_discovery",
            "Find artists",
            _discover_artists,
            ["theme_refinement"],
            retries=1,
            weight=30,
            agent_name=art_historian.name,
        ),
        Step(
            "artwork_discovery",
            "Choose artworks",
            _discover_artworks,
            ["theme_refinement", "artist_discovery"],
            retries=1,
            weight=35,
            agent_name=registrar.name,
        ),
    ]
    title = f"Exhibition: {brief.theme.strip()}"[:1000]
    return Plan(title, steps, result=lambda results: _proposal(brief.theme, results))
