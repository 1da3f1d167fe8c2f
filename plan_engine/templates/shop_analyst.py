"""The offline model's understanding of the sample shop: parses questions by keywords, writes SQL, summarizes rows.

A real model doesn't use it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["BY", "MEASURES", "ShopQuestion", "parse_question", "sql_for", "summarize", "wrong_sql_for"]

MEASURES: Final[Mapping[str, str]] = {
    "average order": r"average order|order value|basket|per order",
    "customers": r"how many (\w+ )?customers|number of customers|customers? (count|are there|do we have)|new customers",
    "returns": r"return(s|ed)\b|refund|sent back",
    "cancellations": r"cancel",
    "orders": r"how many orders|number of orders|orders?\b(?! value)|purchases",
    "units": r"units|quantit|pieces|how many (\w+ )?(products|items)|most (sold|popular)|popular|best.?sell|bestsell",
    "sales": r"sales|revenue|turnover|earn|income|spen[dt]|sold|sell|money|worth",
}
"""The first pattern that matches counts, so the specific ones come first."""

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
class ShopQuestion:
    """A question about the shop: a measure, perhaps grouped, of one period, or only the first few."""

    measure: str
    by: str | None = None
    period: str | None = None
    """A year, or a month of one: "2026" or "2026-08"."""
    limit: int | None = None
    lowest: bool = False


def parse_question(question: str, newest: str = "2026-10") -> ShopQuestion | None:
    """What a question asks for; None when it has no word about the shop. `newest` is the last month with orders."""
    words = question.lower()
    measure = next((name for name, pattern in MEASURES.items() if re.search(pattern, words)), None)
    by = _by(words, measure)
    if measure is None and by is None:
        return None
    return ShopQuestion(measure or "sales", by, _period(words, newest), _limit(words, by), _lowest(words))


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
        count = found[1]
        return max(1, min(50, _NUMBERS.get(count) or int(count)))
    ranked = by in ("customer", "product", "city") or re.search(r"\b(top|best|worst|most|least)\b", words)
    return 5 if by not in (None, "month", "weekday") and ranked else None


def _lowest(words: str) -> bool:
    return re.search(r"\b(worst|lowest|least|bottom|weakest|slowest)\b", words) is not None


_MEASURES: Final[Mapping[str, tuple[str, str]]] = {
    "sales": ("ROUND(SUM(i.quantity * i.unit_price), 2)", "sales"),
    "units": ("SUM(i.quantity)", "units"),
    "orders": ("COUNT(DISTINCT o.order_id)", "orders"),
    "returns": ("COUNT(DISTINCT o.order_id)", "returns"),
    "cancellations": ("COUNT(DISTINCT o.order_id)", "cancellations"),
    "average order": ("ROUND(SUM(i.quantity * i.unit_price) / COUNT(DISTINCT o.order_id), 2)", "average_order"),
    "customers": ("COUNT(DISTINCT o.customer_id)", "customers"),
}
_BY: Final[Mapping[str, tuple[str, str]]] = {
    "month": ("SUBSTR(o.ordered_on, 1, 7)", "month"),
    "weekday": (
        "CASE STRFTIME('%w', o.ordered_on) WHEN '0' THEN 'Sunday' WHEN '1' THEN 'Monday' WHEN '2' THEN 'Tuesday' "
        "WHEN '3' THEN 'Wednesday' WHEN '4' THEN 'Thursday' WHEN '5' THEN 'Friday' ELSE 'Saturday' END",
        "weekday",
    ),
    "region": ("c.region", "region"),
    "city": ("c.city", "city"),
    "category": ("p.category", "category"),
    "product": ("p.name", "product"),
    "customer": ("c.name", "customer"),
    "status": ("o.status", "status"),
}
_STATUS: Final = {"returns": "o.status = 'returned'", "cancellations": "o.status = 'cancelled'"}
_JOINS: Final = {
    "i": "JOIN order_items AS i ON i.order_id = o.order_id",
    "c": "JOIN customers AS c ON c.customer_id = o.customer_id",
    "p": "JOIN products AS p ON p.product_id = i.product_id",
}


def sql_for(wanted: ShopQuestion) -> str:
    """A SELECT that answers the question."""
    measure, name = _MEASURES[wanted.measure]
    by, by_name = _BY[wanted.by] if wanted.by else ("", "")
    columns = [f"{by} AS {by_name}"] if by else []
    lines = [f"SELECT {', '.join([*columns, f'{measure} AS {name}'])}", "FROM orders AS o", *_joins(measure + by)]
    if conditions := _conditions(wanted):
        lines.append(f"WHERE {' AND '.join(conditions)}")
    if by:
        lines.append(f"GROUP BY {by}")
        lines.append(f"ORDER BY {_order(wanted, by_name, name)}")
    if wanted.limit:
        lines.append(f"LIMIT {wanted.limit}")
    return "\n".join(lines)


def wrong_sql_for(wanted: ShopQuestion, how: int) -> str:
    """The same with a mistake: an unknown column, or table."""
    right = sql_for(wanted)
    return (
        right.replace("o.ordered_on", "o.order_date")
        if how and "o.ordered_on" in right
        else right.replace("FROM orders AS o", "FROM sales AS o")
    )


def _joins(used: str) -> list[str]:
    needed = [name for name in _JOINS if f"{name}." in used.replace("o.", "")]
    if "p" in needed and "i" not in needed:
        needed.insert(0, "i")
    return [_JOINS[name] for name in needed]


def _conditions(wanted: ShopQuestion) -> list[str]:
    conditions = [_STATUS.get(wanted.measure, "")]
    if not conditions[0] and wanted.by != "status":
        conditions = ["o.status <> 'cancelled'"]
    if wanted.period:
        conditions.append(f"o.ordered_on LIKE '{wanted.period}%'")
    return [condition for condition in conditions if condition]


def _order(wanted: ShopQuestion, by: str, measure: str) -> str:
    if wanted.by == "month" and not wanted.limit:
        return by
    return f"{measure} {'ASC' if wanted.lowest else 'DESC'}, {by}"


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


def summarize(question: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """The rows in a few sentences, and a piece of advice."""
    if not rows or rows[0][-1] is None:
        return f"For “{question.strip()}” the shop has no orders. Try another period."
    measure = columns[-1]
    if len(columns) == 1:
        return f"{_named(measure).capitalize()}: {_shown(rows[0][0], measure)}. That counts all matching orders."
    by = columns[0]
    return "\n".join([_headline(by, measure, rows), *_lines(measure, rows), "", _ADVICE.get(by, "")]).strip()


def _headline(by: str, measure: str, rows: Sequence[Sequence[Any]]) -> str:
    top = max(rows, key=lambda row: row[-1])
    low = min(rows, key=lambda row: row[-1])
    if len(rows) == 1:
        return f"There is one {by}: {top[0]}, with {_named(measure)} of {_shown(top[-1], measure)}."
    return (
        f"{_named(measure).capitalize()} by {by}, {len(rows)} in all. The strongest is {top[0]} with "
        f"{_shown(top[-1], measure)}; the weakest here is {low[0]} with {_shown(low[-1], measure)}."
    )


def _lines(measure: str, rows: Sequence[Sequence[Any]]) -> list[str]:
    shown = [f"- {row[0]}: {_shown(row[-1], measure)}" for row in rows[:24]]
    return [*shown, f"- … and {len(rows) - 24} more"] if len(rows) > 24 else shown


def _named(measure: str) -> str:
    return {"average_order": "average order"}.get(measure, measure).replace("_", " ")


def _shown(value: Any, measure: str) -> str:
    if not isinstance(value, int | float):
        return str(value)
    return f"£{value:,.0f}" if measure in _MONEY else f"{value:,}"
