"""Who makes an exhibition, what each of them makes, and what they say when offline."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Final
from zlib import crc32

from pydantic import BaseModel, Field

from plan_engine.models import Asked, Role
from plan_engine.templates.exhibition.collection import Maker, holdings_of, makers
from plan_engine.templates.prompts import part_of

__all__ = ["Artist", "Artists", "Pick", "Selection", "Theme", "art_historian", "curator", "registrar"]

Score = Annotated[float, Field(ge=0, le=1)]


class Theme(BaseModel):
    """A theme, ready to be shown."""

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
    """The artists that fit best, the best first."""

    artists: list[Artist]


class Pick(BaseModel):
    """A work, by its title as the collection gives it, and how well it fits the theme."""

    title: str
    score: Score
    reasoning: str


class Selection(BaseModel):
    """The works to be shown, the most fitting first."""

    picks: list[Pick]


# ---- what they say offline

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


def _refines(asked: Asked) -> Theme:
    subject = _subject(part_of(asked.prompt, "Theme"))
    title, subtitle = _TITLES[crc32(subject.lower().encode()) % len(_TITLES)]
    movements = ", ".join(dict.fromkeys(maker.movement for maker, _ in _ranked(subject)[:4]))
    return Theme(
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


def _ranked(theme: str) -> list[tuple[Maker, int]]:
    """All artists, those with most of the theme's words first; the rest in an order that varies with the theme."""
    words = theme.lower()

    def place(found: tuple[Maker, int]) -> tuple[int, int]:
        return -found[1], crc32(f"{words}/{found[0].name}".encode())

    hits = [(maker, sum(one in words for one in (*maker.themes, maker.movement.lower()))) for maker in makers()]
    return sorted(hits, key=place)


def _discovers(asked: Asked) -> Artists:
    theme = part_of(asked.prompt, "Theme")
    chosen = _ranked(theme)[:5]
    return Artists(
        artists=[
            Artist(
                name=maker.name,
                score=round(0.95 - 0.04 * n - (0 if hits else 0.1), 2),
                reasoning=_why(maker, hits, theme),
            )
            for n, (maker, hits) in enumerate(chosen)
        ]
    )


def _why(maker: Maker, hits: int, theme: str) -> str:
    if hits:
        return f"{maker.movement}, {maker.years}: came back to this again and again; the collection's works show how."
    return f"{maker.movement}, {maker.years}: never painted “{_subject(theme)}” by name, and is the better foil for it."


def _selects(asked: Asked) -> Selection:
    names: Sequence[str] = part_of(asked.prompt, "Artists")
    works = sorted(holdings_of(names), key=lambda work: names.index(work.artist))
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


# ---- who they are


def _role(name: str, instructions: str, output: type[Any], script: Any) -> Role[Any]:
    return Role(name, instructions, output=output, script=script)


curator: Final[Role[Theme]] = _role(
    "Curator",
    "You are the curator of an art museum. Refine the theme into an exhibition: a title, a subtitle, a curatorial "
    "statement for visitors, and a scholarly rationale for colleagues. Plain, vivid English.",
    Theme,
    _refines,
)
art_historian: Final[Role[Artists]] = _role(
    "Art Historian",
    "You choose about five artists for an exhibition, from those the collection has, and score each from 0 to 1 with one "
    "sentence of reasoning. Use their names exactly as given.",
    Artists,
    _discovers,
)
registrar: Final[Role[Selection]] = _role(
    "Registrar",
    "You choose up to eight works for an exhibition, from those the collection has, and score each from 0 to 1 with one "
    "sentence of reasoning. Use their titles exactly as given.",
    Selection,
    _selects,
)
