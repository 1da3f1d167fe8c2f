"""What a question about the shop asks for, as far as it can be told from its words. (A real model needs none of this.)"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

__all__ = ["BY", "MEASURES", "Wanted", "read"]

MEASURES: Final[Mapping[str, str]] = {
    "average order": r"average order|order value|basket|per order",
    "customers": r"how many (\w+ )?customers|number of customers|customers? (count|are there|do we have)|new customers",
    "returns": r"return(s|ed)\b|refund|sent back",
    "cancellations": r"cancel",
    "orders": r"how many orders|number of orders|orders?\b(?! value)|purchases",
    "units": r"units|quantit|pieces|how many (\w+ )?(products|items)|most (sold|popular)|popular|best.?sell|bestsell",
    "sales": r"sales|revenue|turnover|earn|income|spen[dt]|sold|sell|money|worth",
}
"""The first that fits counts: the special ones stand before the general."""

BY: Final[Mapping[str, str]] = {
    "month": r"\bmonth|over time|trend|seasonal|develop|history",
    "weekday": r"weekday|day of the week|which day",
    "region": r"\bregion|\bwhere\b|\barea|\b(north|south|east|west)\b",
    "city": r"\bcit(y|ies)\b|\btowns?\b",
    "category": r"categor|department|kinds? of product|\brange\b",
    "product": r"product|item|article|bestsell|best.?sell|popular",
    "customer": r"\b(who|customers?|buyers?|clients?|spenders?)\b",
    "status": r"status",
}
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH_ENDS: Final = "(uary|ruary|ch|il|e|y|ust|t|tember|ober|ember)?"
_NUMBERS: Final = {"three": 3, "five": 5, "ten": 10, "twenty": 20}
_ranked = re.compile(r"\b(?:top|best|first|worst|lowest|least|last|bottom)\s+(\d+|three|five|ten|twenty)\b")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A measure, perhaps split by something, perhaps of one period, perhaps only the first few."""

    measure: str
    by: str | None = None
    period: str | None = None
    """A year, or a month of one: "2026" or "2026-08"."""
    limit: int | None = None
    lowest: bool = False


def read(question: str, newest: str = "2026-10") -> Wanted | None:
    """What is asked for; None when no word of it has to do with a shop. `newest` is the last month there is."""
    words = question.lower()
    measure = next((name for name, pattern in MEASURES.items() if re.search(pattern, words)), None)
    by = _by(words, measure)
    if measure is None and by is None:
        return None
    return Wanted(measure or "sales", by, _period(words, newest), _limit(words, by), _lowest(words))


def _by(words: str, measure: str | None) -> str | None:
    rest = re.sub(r"how many (\w+ )?(customers|products|items)|number of customers", "", words)
    if _month(words):
        rest = re.sub(r"\bmonth", "", rest)
    if measure == "customers":
        rest = re.sub(r"customers?", "", rest)
    rest = re.sub(r"(this|last|past) month", "", rest)
    return next((name for name, pattern in BY.items() if re.search(pattern, rest)), None)


def _period(words: str, newest: str) -> str | None:
    year = re.search(r"\b(20\d\d)\b", words)
    last_year = f"{int(newest[:4]) - 1}"
    if month := _month(words):
        of = year[1] if year else (newest[:4] if f"{newest[:4]}-{month}" <= newest else last_year)
        return f"{of}-{month}"
    if year:
        return year[1]
    if re.search(r"(this|last|past) month", words):
        return newest
    if "last year" in words:
        return last_year
    return newest[:4] if "this year" in words else None


def _month(words: str) -> str | None:
    for number, name in enumerate(_MONTHS, 1):
        if re.search(rf"\b{name}{_MONTH_ENDS}\b", words) and not re.search(r"\bmay (i|we|you)\b", words):
            return f"{number:02d}"
    return None


def _limit(words: str, by: str | None) -> int | None:
    if found := _ranked.search(words):
        said = found[1]
        return max(1, min(50, _NUMBERS.get(said) or int(said)))
    ranked = by in ("customer", "product", "city") or re.search(r"\b(top|best|worst|most|least)\b", words)
    return 5 if by not in (None, "month", "weekday") and ranked else None


def _lowest(words: str) -> bool:
    return re.search(r"\b(worst|lowest|least|bottom|weakest|slowest)\b", words) is not None
