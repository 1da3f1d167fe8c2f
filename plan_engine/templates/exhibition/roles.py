"""The collection an exhibition is made from, and the roles that make one, with their offline scripts."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Annotated, Any, Final
from zlib import crc32

from pydantic import BaseModel, Field

from plan_engine.models import Role, ScriptInput

__all__ = [
    "Artist",
    "Artists",
    "CollectionArtist",
    "CollectionWork",
    "ExhibitionTheme",
    "Pick",
    "Selection",
    "art_historian",
    "collection_artists",
    "curator",
    "registrar",
    "works_by",
]


@dataclass(frozen=True, slots=True)
class CollectionArtist:
    """An artist in the collection, with the themes of the works there."""

    name: str
    years: str
    movement: str
    themes: Sequence[str]


@dataclass(frozen=True, slots=True)
class CollectionWork:
    """A work in the collection."""

    title: str
    artist: str
    year: str
    iiif_manifest: str


def collection_artists() -> Sequence[CollectionArtist]:
    """All artists in the collection."""
    return [CollectionArtist(**artist) for artist in _collection()["artists"]]


def works_by(artists: Collection[str]) -> Sequence[CollectionWork]:
    """The collection's works by these artists."""
    collection = _collection()
    address: str = collection["manifest"]
    return [
        CollectionWork(work["title"], work["artist"], work["year"], address.format(work=work["work"]))
        for work in collection["works"]
        if work["artist"] in artists
    ]


def _collection() -> Mapping[str, Any]:
    text = files("plan_engine.templates").joinpath("data/collection.json").read_text(encoding="utf-8")
    found: Mapping[str, Any] = json.loads(text)
    return found


Score = Annotated[float, Field(ge=0, le=1)]


class ExhibitionTheme(BaseModel):
    """A refined theme."""

    exhibition_title: str
    subtitle: str
    curatorial_statement: str
    scholarly_rationale: str


class Artist(BaseModel):
    """An artist, how well they fit the theme, and why."""

    name: str
    score: Score
    reasoning: str


class Artists(BaseModel):
    """The artists that fit best, best first."""

    artists: list[Artist]


class Pick(BaseModel):
    """A work by its title in the collection, how well it fits the theme, and why."""

    title: str
    score: Score
    reasoning: str


class Selection(BaseModel):
    """The works to show, best first."""

    picks: list[Pick]


# ---- their offline scripts

_TITLES: Final = (
    ("{} Unchained", "Looking again at what we thought we knew"),
    ("The Shape of {}", "Painters and the art of attention"),
    ("{}, After All", "A room for slow looking"),
    ("Between {} and Daylight", "Eight ways of seeing"),
    ("Nothing but {}", "From first sketch to last varnish"),
)


def _subject(theme: str) -> str:
    words = re.sub(r"^(an? )?(exhibition|show)( (about|on|of))?\s+", "", theme.strip(), flags=re.IGNORECASE)
    return (words[:1].upper() + words[1:]).rstrip(".!?")[:120] or "Looking"


def _refine(asked: ScriptInput) -> ExhibitionTheme:
    subject = _subject(asked.part("Theme"))
    title, subtitle = _TITLES[crc32(subject.lower().encode()) % len(_TITLES)]
    movements = ", ".join(dict.fromkeys(artist.movement for artist, _ in _ranked(subject)[:4]))
    return ExhibitionTheme(
        exhibition_title=title.format(subject),
        subtitle=subtitle,
        curatorial_statement=(
            f"“{subject}” is often said and seldom looked at. This exhibition puts works from {movements} into one "
            "conversation, and leaves the visitor room to join it: few works, generous walls, short labels."
        ),
        scholarly_rationale=(
            f"The works are usually hung by school. Hung by what they say of “{subject}”, they show debts and "
            f"quarrels between {movements} that a chronology hides."
        ),
    )


def _ranked(theme: str) -> list[tuple[CollectionArtist, int]]:
    """All artists with the number of the theme's words they match, most first; ties are ordered differently by theme."""
    words = theme.lower()

    def rank(found: tuple[CollectionArtist, int]) -> tuple[int, int]:
        return -found[1], crc32(f"{words}/{found[0].name}".encode())

    hits = [
        (artist, sum(one in words for one in (*artist.themes, artist.movement.lower())))
        for artist in collection_artists()
    ]
    return sorted(hits, key=rank)


def _discover(asked: ScriptInput) -> Artists:
    theme = asked.part("Theme")
    chosen = _ranked(theme)[:5]
    return Artists(
        artists=[
            Artist(
                name=artist.name,
                score=round(0.95 - 0.04 * n - (0 if hits else 0.1), 2),
                reasoning=_why(artist, hits, theme),
            )
            for n, (artist, hits) in enumerate(chosen)
        ]
    )


def _why(artist: CollectionArtist, hits: int, theme: str) -> str:
    if hits:
        return f"{artist.movement}, {artist.years}: came back to this again and again; the collection's works show how."
    return (
        f"{artist.movement}, {artist.years}: never painted “{_subject(theme)}” by name, and is the better foil for it."
    )


def _select(asked: ScriptInput) -> Selection:
    names: Sequence[str] = asked.part("Artists")
    works = sorted(works_by(names), key=lambda work: names.index(work.artist))
    return Selection(
        picks=[
            Pick(
                title=work.title,
                score=round(max(0.5, 0.94 - 0.03 * n), 2),
                reasoning=f"{work.artist}, {work.year}: it holds a wall by itself, and answers what hangs beside it.",
            )
            for n, work in enumerate(works[:8])
        ]
    )


# ---- the roles


def _role(name: str, instructions: str, output: type[Any], script: Any) -> Role[Any]:
    return Role(name, instructions, output=output, script=script)


curator: Final[Role[ExhibitionTheme]] = _role(
    "Curator",
    "You are the curator of an art museum. Refine the theme into an exhibition: a title, a subtitle, a curatorial "
    "statement for visitors, and a scholarly rationale for colleagues. Plain, vivid English.",
    ExhibitionTheme,
    _refine,
)
art_historian: Final[Role[Artists]] = _role(
    "Art Historian",
    "You choose about five artists for an exhibition, from those the collection has, and score each from 0 to 1 with one "
    "sentence of reasoning. Use their names exactly as given.",
    Artists,
    _discover,
)
registrar: Final[Role[Selection]] = _role(
    "Registrar",
    "You choose up to eight works for an exhibition, from those the collection has, and score each from 0 to 1 with one "
    "sentence of reasoning. Use their titles exactly as given.",
    Selection,
    _select,
)
