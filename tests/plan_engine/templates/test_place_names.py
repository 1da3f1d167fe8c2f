"""Names that stand where a place's name would, in questions."""

from __future__ import annotations

import time

import pytest

from plan_engine.templates.place_names import place_names


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("How warm is Hamburg in May?", ["Hamburg"]),
        ("how warm is hamburg in may", ["hamburg"]),
        ("Hamburg for 3 days", ["Hamburg"]),
        ("visit Berlin, Hamburg and New York", ["Berlin", "Hamburg", "New York"]),
        ("São Paulo or Zürich?", ["São Paulo", "Zürich"]),
        ("Is it warm in the Sahara?", ["Sahara"]),
        ("Which city is warmest in May?", []),
        ("You may sing", []),
        ("What a lovely day", []),
        ("no museums please, in July", []),
    ],
)
def test_names_of_places_are_found(text: str, names: list[str]) -> None:
    assert place_names(text) == names


@pytest.mark.parametrize(
    "text", ["A " * 4000, "to " * 3000, "Abc " * 2000, "in Abc, " * 1000, "A" * 8000, "Ab-" * 2700]
)
def test_no_text_takes_long(text: str) -> None:
    before = time.process_time()
    place_names(text)
    assert time.process_time() - before < 0.5
