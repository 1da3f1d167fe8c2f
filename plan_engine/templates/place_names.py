"""The names of places in a question, found by plain rules, so that the offline model notices those it knows nothing about.

A real model doesn't use it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

__all__ = ["place_names"]

_NAME: Final = r"[^\W\d_a-z][\w'\u2019-]+(?: [^\W\d_a-z][\w'\u2019-]+)*"
_AND: Final = r"(?:,? (?:and|or|then|than|vs|versus|to) |, | ?[&/] ?)"
_names: Final = rf"(?:the )?{_NAME}(?:{_AND}(?:the )?{_NAME})*"
_after: Final = re.compile(
    rf"\b(?:in|at|to|for|of|near|around|from|between|through|about|visit|visiting|see|explore|is|are|does|add|compare)"
    rf" ({_names})"
)
_first: Final = re.compile(rf"^({_names})(?= (?:in|for|this|next|over)\b|[?.!]?$|,? (?:\d|one|two|three|a) )")
_lower: Final = re.compile(
    r"\b(?:trip to|travel to|fly to|go to|visit|(?:days?|nights?|weekend|week) in"
    r"|(?:warm|hot|cold|cool|wet|dry|rainy|weather|rain|temperature|climate) (?:is|in|of|at|for)) ([a-z][\w'\u2019-]+)"
)
_WORDS: Final = """
    january february march april may june july august september october november december monday tuesday wednesday
    thursday friday saturday sunday winter spring summer autumn fall christmas easter i it the there a an this that my
    our your his her their some any all each every which what where when who how why here warm warmest hot hottest cold
    coldest cool coolest wet wettest dry driest rainy not no you me us them going getting like is are was were does do
    did can could will would shall should may might must please hello hi thanks yes tell give show plan make find help
    compare celsius fahrenheit english general total average both one two three four five six seven eight nine ten
    and or if as at in on of for to with more less most least next last late early mid
"""
_OTHER: Final = frozenset(re.findall(r"\w+", _WORDS))
"""Words that may stand where a place does."""


def place_names(text: str) -> list[str]:
    """The names in a text that stand where the name of a place would, each once. Takes linear time."""
    text = " ".join(text.split())
    return [*dict.fromkeys(name for name in _candidates(text) if not _is_other(name))]


def _candidates(text: str) -> Iterator[str]:
    for pattern in (_first, _after):
        for found in pattern.finditer(text):
            yield from (name.removeprefix("the ") for name in re.split(_AND, found[1]))
    yield from (found[1] for found in _lower.finditer(text))


def _is_other(name: str) -> bool:
    return name.split()[0].lower() in _OTHER
