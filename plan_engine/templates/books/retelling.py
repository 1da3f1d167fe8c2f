"""Rows retold as a shopkeeper would say them. (A real model needs none of this.)"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

__all__ = ["retold"]

_MONEY: Final = frozenset({"sales", "average_order"})
_ADVICE: Final = {
    "month": "November and December carry the year: have the stock in by October.",
    "weekday": "Let newsletters go out the evening before the strongest day.",
    "region": "The weakest region is the cheapest place to try an offer.",
    "city": "A delivery partner in the strongest city would pay for itself first.",
    "category": "Put the strongest category on the first page, and one from the weakest beside it.",
    "product": "Keep the first of these in stock, whatever happens.",
    "customer": "A personal thank-you to these customers costs little and is remembered.",
    "status": "Look at what was returned most before the next order from suppliers.",
}


def retold(question: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """The rows in a few sentences, with a piece of advice that goes with them."""
    if not rows or rows[0][-1] is None:
        return f"For “{question.strip()}” the shop's books hold nothing: no order fits. Try another period."
    measure = columns[-1]
    if len(columns) == 1:
        return f"{_named(measure).capitalize()}: {_said(rows[0][0], measure)}. That counts all orders that fit."
    by = columns[0]
    return "\n".join([_headline(by, measure, rows), *_lines(measure, rows), "", _ADVICE.get(by, "")]).strip()


def _headline(by: str, measure: str, rows: Sequence[Sequence[Any]]) -> str:
    top = max(rows, key=lambda row: row[-1])
    low = min(rows, key=lambda row: row[-1])
    if len(rows) == 1:
        return f"There is one {by}: {top[0]}, with {_named(measure)} of {_said(top[-1], measure)}."
    return (
        f"{_named(measure).capitalize()} by {by}, {len(rows)} in all. The strongest is {top[0]} with "
        f"{_said(top[-1], measure)}; the weakest here is {low[0]} with {_said(low[-1], measure)}."
    )


def _lines(measure: str, rows: Sequence[Sequence[Any]]) -> list[str]:
    shown = [f"- {row[0]}: {_said(row[-1], measure)}" for row in rows[:24]]
    return [*shown, f"- … and {len(rows) - 24} more"] if len(rows) > 24 else shown


def _named(measure: str) -> str:
    return {"average_order": "average order"}.get(measure, measure).replace("_", " ")


def _said(value: Any, measure: str) -> str:
    if not isinstance(value, int | float):
        return str(value)
    return f"£{value:,.0f}" if measure in _MONEY else f"{value:,}"
