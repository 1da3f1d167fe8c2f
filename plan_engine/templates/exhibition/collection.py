"""The collection that an exhibition is chosen from: real artists and works, with the addresses of their IIIF manifests."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

__all__ = ["Holding", "Maker", "holdings_of", "makers"]


@dataclass(frozen=True, slots=True)
class Maker:
    """An artist in the collection, and the themes of the work there."""

    name: str
    years: str
    movement: str
    themes: Sequence[str]


@dataclass(frozen=True, slots=True)
class Holding:
    """A work in the collection."""

    title: str
    artist: str
    year: str
    iiif_manifest: str


def makers() -> Sequence[Maker]:
    """Everybody the collection has something by."""
    return [Maker(**artist) for artist in _collection()["artists"]]


def holdings_of(artists: Collection[str]) -> Sequence[Holding]:
    """What the collection has by them."""
    collection = _collection()
    address: str = collection["manifest"]
    return [
        Holding(work["title"], work["artist"], work["year"], address.format(work=work["work"]))
        for work in collection["works"]
        if work["artist"] in artists
    ]


def _collection() -> Mapping[str, Any]:
    text = files("plan_engine.templates").joinpath("data/collection.json").read_text(encoding="utf-8")
    found: Mapping[str, Any] = json.loads(text)
    return found
