"""The collection an exhibition is made from, and the roles that make one, with their offline scripts."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
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
    shows: str
    themes: Sequence[str]


def collection_artists() -> Sequence[CollectionArtist]:
    """All artists in the collection."""
    return [CollectionArtist(**artist, themes=_themes_of(artist["name"])) for artist in _collection()["artists"]]


def _themes_of(artist: str) -> Sequence[str]:
    return [*dict.fromkeys(theme for work in works_by([artist]) for theme in work.themes)]


def works_by(artists: Collection[str]) -> Sequence[CollectionWork]:
    """The collection's works by these artists."""
    collection = _collection()
    address: str = collection["manifest"]
    return [
        CollectionWork(
            **{name: value for name, value in work.items() if name != "work"},
            iiif_manifest=address.format(work=work["work"]),
        )
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


# ---- their offline scripts: what the collection's records say, in sentences

_TITLES: Final = ("The Shape of {}", "{}, After All", "Nothing but {}", "{}: Works from the Collection")
ARTISTS: Final = 5
WORKS: Final = 8


def _subject(theme: str) -> str:
    words = re.sub(r"^(an? )?(exhibition|show)( (about|on|of))?\s+", "", theme.strip(), flags=re.IGNORECASE)
    return (words[:1].upper() + words[1:]).rstrip(".!?")[:120] or "Looking"


def _matches(theme: str, words: Iterable[str]) -> list[str]:
    """The words that begin a word of the theme."""
    return [word for word in words if re.search(rf"\b{re.escape(word)}", theme, re.IGNORECASE)]


def _known_words(theme: str) -> list[str]:
    """The theme's words that are in the collection's records."""
    words = [word for artist in collection_artists() for word in (*artist.themes, artist.movement.lower())]
    return _matches(theme, dict.fromkeys(words))


def _refine(asked: ScriptInput) -> ExhibitionTheme:
    theme = asked.part("Theme")
    subject, known = _subject(theme), _known_words(theme)
    title = _TITLES[crc32(subject.lower().encode()) % len(_TITLES)]
    ranked = _ranked(theme)
    artists = [artist for artist, matches in ranked if matches][:ARTISTS] or [artist for artist, _ in ranked[:ARTISTS]]
    movements = _listed([*dict.fromkeys(artist.movement for artist in artists)])
    if known:
        statement = f"Works that the collection records under {_quoted(known)}, from {movements}."
    else:
        statement = (
            f"The collection records nothing under “{subject}”. This is a selection from {movements} to start from."
        )
    return ExhibitionTheme(
        exhibition_title=title.format(subject),
        subtitle=f"With works by {_listed([artist.name for artist in artists])}",
        curatorial_statement=statement,
        scholarly_rationale=f"The works hang by what they show, whatever their school ({movements}).",
    )


def _ranked(theme: str) -> list[tuple[CollectionArtist, list[str]]]:
    """All artists with the theme's words they match, most first; ties are ordered differently by theme."""
    words = theme.lower()

    def rank(found: tuple[CollectionArtist, list[str]]) -> tuple[int, int]:
        return -len(found[1]), crc32(f"{words}/{found[0].name}".encode())

    found = [(artist, _matches(theme, (*artist.themes, artist.movement.lower()))) for artist in collection_artists()]
    return sorted(found, key=rank)


def _score(theme: str, matches: Sequence[str]) -> float:
    """The share of the theme's known words that are matched; 0 when there is none."""
    known = _known_words(theme)
    return round(len([word for word in known if word in matches]) / len(known), 2) if known else 0.0


def _discover(asked: ScriptInput) -> Artists:
    theme = asked.part("Theme")
    return Artists(
        artists=[
            Artist(name=artist.name, score=_score(theme, matches), reasoning=_why(artist, matches))
            for artist, matches in _ranked(theme)[:ARTISTS]
        ]
    )


def _why(artist: CollectionArtist, matches: Sequence[str]) -> str:
    if matches:
        return f"{artist.movement}, {artist.years}; the collection records works under {_quoted(matches)}."
    return f"{artist.movement}, {artist.years}; for contrast: recorded under {_quoted(artist.themes[:3])} instead."


def _select(asked: ScriptInput) -> Selection:
    theme, names = asked.part("Theme"), asked.part("Artists")
    works = [(work, _matches(theme, work.themes)) for work in works_by(names)]
    works.sort(key=lambda one: (-len(one[1]), names.index(one[0].artist)))
    return Selection(
        picks=[
            Pick(title=work.title, score=_score(theme, matches), reasoning=_label(work, matches))
            for work, matches in works[:WORKS]
        ]
    )


def _label(work: CollectionWork, matches: Sequence[str]) -> str:
    return f"{work.shows}." + (f" Here for {_quoted(matches)}." if matches else "")


def _quoted(words: Sequence[str]) -> str:
    return _listed([f"“{word}”" for word in words])


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]])) if words else ""


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
