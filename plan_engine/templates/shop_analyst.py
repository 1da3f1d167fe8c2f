"""The offline model's understanding of the sample shop: parses questions by keywords, writes SQL, summarizes rows.

A real model doesn't use it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from plan_engine.templates.place_names import place_names

__all__ = [
    "BY",
    "MEASURES",
    "NAMES",
    "ShopQuestion",
    "groupings",
    "parse_question",
    "sql_for",
    "summarize",
    "unknown_names",
    "wrong_sql_for",
]

MEASURES: Final[Mapping[str, str]] = {
    "engagement rate": r"engagement rate|rate of engagement",
    "engagement": r"engage|interaction",
    "likes": r"\blikes\b",
    "comments": r"\bcomments?\b",
    "shares": r"\bshares\b|\bshared\b",
    "reach": r"\breach(ed)?\b|impressions|\bviews\b|\bseen\b",
    "posts": r"how many (\w+ )?posts|number of posts|how often .*\bpost\b",
    "average order": r"average order|order value|basket|per order",
    "customers": r"how many (\w+ )?customers|number of customers|customers? (count|are there|do we have)|new customers",
    "returns": r"return(s|ed)\b|refund|sent back",
    "cancellations": r"cancel",
    "orders": r"how many orders|number of orders|orders?\b(?! value)|purchases",
    "units": r"how many .*\b(sell|sold)\b|units|quantit|pieces|how many (\w+ )?(products|items)|most (sold|popular)|popular"
    r"|best.?sell|bestsell",
    "sales": r"sales|revenue|turnover|earn|income|spen[dt]|sold|sell|money|worth",
}
"""The first pattern that matches counts, so the specific ones come first."""

BY: Final[Mapping[str, str]] = {
    "platform": r"platform|channel|network|social media",
    "format": r"\bformats?\b|\b(videos?|photos?|carousels?)\b",
    "post": r"\bposts?\b",
    "month": r"\bmonth|over time|trend|seasonal|develop|history",
    "weekday": r"weekday|day of the week|which day",
    "region": r"\bregion|\bwhere\b|\barea|\b(north|south|east|west)\b",
    "city": r"\bcit(y|ies)\b|\btowns?\b",
    "category": r"categor|department|kinds? of product|\brange\b",
    "product": r"product|item|article|bestsell|best.?sell|popular",
    "customer": r"\b(who|customers?|buyers?|clients?|spenders?)\b",
    "status": r"status",
}
_OF_POSTS: Final = frozenset({"engagement rate", "engagement", "likes", "comments", "shares", "reach", "posts"})
"""The measures of the shop's posts; the others are those of its orders."""
_ONLY_POSTS: Final = frozenset({"platform", "format", "post"})
_ONLY_ORDERS: Final = frozenset({"region", "city", "customer", "status"})
NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "platform": ("Instagram", "Facebook", "Pinterest"),
    "city": ("Edinburgh", "Newcastle", "Leeds", "Cardiff", "Bristol", "Norwich", "Cambridge", "London", "Brighton"),
    "category": ("Furniture", "Lighting", "Textiles", "Kitchen"),
    "product": (
        *("Oak desk", "Reading chair", "Bookcase", "Bedside table", "Coat stand", "Folding stool", "Desk lamp"),
        *("Floor lamp", "Lantern", "String lights", "Wall light", "Night light", "Wool blanket", "Linen curtain"),
        *("Cotton rug", "Cushion", "Tablecloth", "Tea towel", "Stoneware bowl", "Teapot", "Chopping board"),
        *("Cast-iron pan", "Mug", "Coffee mill"),
    ),
}
"""The names in the shop's data to which a question can be narrowed down."""
_other_networks: Final = re.compile(
    r"\b(tiktok|youtube|linkedin|twitter|snapchat|threads|reddit|bluesky|mastodon)\b", re.IGNORECASE
)
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
    only: tuple[tuple[str, str], ...] = ()
    """What it is narrowed down to, as in `("city", "London")`."""

    @property
    def about_posts(self) -> bool:
        return self.measure in _OF_POSTS


def groupings(measure: str) -> list[str]:
    """What the figures of a measure can be grouped by or narrowed down to."""
    return [by for by in BY if by not in (_ONLY_ORDERS if measure in _OF_POSTS else _ONLY_POSTS)]


def unknown_names(question: str) -> list[str]:
    """Names in a question, as of towns, to which the figures can't be narrowed down."""
    known = [name for names in NAMES.values() for name in names]
    words = [*MEASURES.values(), *BY.values(), r"\bq[1-4]\b"]
    unknown = [
        name
        for name in place_names(question)
        if not any(one.lower() in name.lower() for one in known)
        and not any(re.search(pattern, name.lower()) for pattern in words)
    ]
    return [*dict.fromkeys([*unknown, *_other_networks.findall(question)])]


def parse_question(question: str, newest: str = "2026-10") -> ShopQuestion | None:
    """What a question asks for; None when the shop's data can't answer it. `newest` is the last month with orders."""
    words = question.lower()
    measure = next((name for name, pattern in MEASURES.items() if re.search(pattern, words)), None)
    only = _only(words)
    by = _by(words, measure, only)
    if (measure is None and by is None and not only) or unknown_names(question):
        return None
    posts = by in _ONLY_POSTS or any(kind in _ONLY_POSTS for kind, _ in only)
    measure = measure or ("engagement" if posts else "sales")
    if not {by or "month", *(kind for kind, _ in only)} <= {*groupings(measure)}:
        return None
    return ShopQuestion(measure, by, _period(words, newest), _limit(words, by), _lowest(words), only)


def _only(words: str) -> tuple[tuple[str, str], ...]:
    """The names that a question mentions."""
    return tuple(
        (kind, name)
        for kind, names in NAMES.items()
        for name in names
        if re.search(rf"\b{re.escape(name.lower())}s?\b", words)
    )


def _by(words: str, measure: str | None, only: tuple[tuple[str, str], ...]) -> str | None:
    """What to group by. Several names of a kind are compared."""
    kinds = [kind for kind, _ in only]
    if repeated := next((kind for kind in kinds if kinds.count(kind) > 1), None):
        return repeated
    for _, name in only:
        words = words.replace(name.lower(), "")
    if measure == "posts":
        words = re.sub(r"\bposts?\b", "", words)
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
    ranked = by in ("customer", "product", "city", "post") or re.search(r"\b(top|best|worst|most|least)\b", words)
    return 5 if by not in (None, "month", "weekday") and ranked else None


def _lowest(words: str) -> bool:
    return re.search(r"\b(worst|lowest|least|bottom|weakest|slowest)\b", words) is not None


_ENGAGED: Final = "SUM(s.likes + s.comments + s.shares)"
_MEASURES: Final[Mapping[str, tuple[str, str]]] = {
    "engagement rate": (f"ROUND(100.0 * {_ENGAGED} / SUM(s.reach), 1)", "engagement_rate"),
    "engagement": (_ENGAGED, "engagement"),
    "likes": ("SUM(s.likes)", "likes"),
    "comments": ("SUM(s.comments)", "comments"),
    "shares": ("SUM(s.shares)", "shares"),
    "reach": ("SUM(s.reach)", "reach"),
    "posts": ("COUNT(s.post_id)", "posts"),
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
    "platform": ("s.platform", "platform"),
    "format": ("s.format", "format"),
    "post": ("s.posted_on || ', ' || s.caption", "post"),
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
    by, by_name = _by_column(wanted, wanted.by) if wanted.by else ("", "")
    columns = [f"{by} AS {by_name}"] if by else []
    conditions = [*_conditions(wanted)]
    used = " ".join([measure, by, *conditions])
    source = ["FROM posts AS s", *_post_joins(used)] if wanted.about_posts else ["FROM orders AS o", *_joins(used)]
    lines = [f"SELECT {', '.join([*columns, f'{measure} AS {name}'])}", *source]
    if conditions:
        lines.append(f"WHERE {' AND '.join(conditions)}")
    if by:
        lines.append(f"GROUP BY {by}")
        lines.append(f"ORDER BY {_order(wanted, by_name, name)}")
    if wanted.limit:
        lines.append(f"LIMIT {wanted.limit}")
    return "\n".join(lines)


def _by_column(wanted: ShopQuestion, by: str) -> tuple[str, str]:
    column, name = _BY[by]
    return column.replace("o.ordered_on", "s.posted_on") if wanted.about_posts else column, name


def wrong_sql_for(wanted: ShopQuestion, how: int) -> str:
    """The same with a mistake: an unknown column, or table."""
    right = sql_for(wanted)
    return (
        right.replace("o.ordered_on", "o.order_date")
        if how and "o.ordered_on" in right
        else right.replace("FROM orders AS o", "FROM sales AS o").replace("FROM posts AS s", "FROM instagram AS s")
    )


def _joins(used: str) -> list[str]:
    needed = [name for name in _JOINS if f"{name}." in used.replace("o.", "")]
    if "p" in needed and "i" not in needed:
        needed.insert(0, "i")
    return [_JOINS[name] for name in needed]


def _post_joins(used: str) -> list[str]:
    return ["JOIN products AS p ON p.product_id = s.product_id"] if "p." in used.replace("s.", "") else []


def _conditions(wanted: ShopQuestion) -> Iterator[str]:
    if wanted.measure in _STATUS:
        yield _STATUS[wanted.measure]
    elif not wanted.about_posts and wanted.by != "status":
        yield "o.status <> 'cancelled'"
    if wanted.period:
        yield f"{'s.posted_on' if wanted.about_posts else 'o.ordered_on'} LIKE '{wanted.period}%'"
    for kind in dict.fromkeys(kind for kind, _ in wanted.only):
        names = ", ".join(f"'{name}'" for one, name in wanted.only if one == kind)
        yield f"{_BY[kind][0]} IN ({names})"


def _order(wanted: ShopQuestion, by: str, measure: str) -> str:
    if wanted.by == "month" and not wanted.limit:
        return by
    return f"{measure} {'ASC' if wanted.lowest else 'DESC'}, {by}"


_MONEY: Final = frozenset({"sales", "average_order"})
_ADVICE: Final = {
    "month": "Worth a look: what was different in {top}.",
    "weekday": "Worth a try: an offer that begins on a {top}.",
    "region": "Worth a try: an offer in the region {low}.",
    "city": "Worth a look: what {top} has that {low} lacks.",
    "category": "Worth a try: {top} on the first page, and something from {low} beside it.",
    "product": "Worth keeping in stock: {top}.",
    "customer": "Worth a personal thank-you: {top}.",
    "status": "Worth a look: the orders that are {low}.",
    "platform": "Worth a look: what works on {top} and is missing on {low}.",
    "format": "Worth a try: one more {top}.",
    "post": "Worth repeating: {top}.",
}
"""A suggestion about the rows, and nothing that they don't show."""
_OF_LOSSES: Final = "Worth a look: why {top} has the most."


def summarize(question: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """The rows in a few sentences, and a piece of advice."""
    if not rows or rows[0][-1] is None:
        return f"For “{question.strip()}” the shop has no data. Try another period."
    measure = columns[-1]
    if len(columns) == 1:
        return f"{_named(measure).capitalize()}: {_shown(rows[0][0], measure)}. That counts everything that matches."
    by = columns[0]
    top, low = _extremes(rows)
    advice = (
        (_OF_LOSSES if measure in _STATUS else _ADVICE.get(by, "")).format(top=top[0], low=low[0])
        if len(rows) > 1
        else ""
    )
    return "\n".join([_headline(by, measure, rows), *_lines(measure, rows), "", advice]).strip()


def _extremes(rows: Sequence[Sequence[Any]]) -> tuple[Sequence[Any], Sequence[Any]]:
    """The rows with the most and the least."""
    return max(rows, key=lambda row: row[-1]), min(rows, key=lambda row: row[-1])


def _headline(by: str, measure: str, rows: Sequence[Sequence[Any]]) -> str:
    top, low = _extremes(rows)
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
    if measure == "engagement_rate":
        return f"{value:g} %"
    return f"£{value:,.0f}" if measure in _MONEY else f"{value:,}"
