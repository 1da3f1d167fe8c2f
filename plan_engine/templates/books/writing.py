"""SQL for what a question asks for. (A real model needs none of this.)"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from plan_engine.templates.books.reading import Wanted

__all__ = ["sql_for", "wrong_sql_for"]

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


def sql_for(wanted: Wanted) -> str:
    """One SELECT that answers it."""
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


def wrong_sql_for(wanted: Wanted, how: int) -> str:
    """What comes of haste: a column that isn't there, or a table."""
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


def _conditions(wanted: Wanted) -> list[str]:
    conditions = [_STATUS.get(wanted.measure, "")]
    if not conditions[0] and wanted.by != "status":
        conditions = ["o.status <> 'cancelled'"]
    if wanted.period:
        conditions.append(f"o.ordered_on LIKE '{wanted.period}%'")
    return [condition for condition in conditions if condition]


def _order(wanted: Wanted, by: str, measure: str) -> str:
    if wanted.by == "month" and not wanted.limit:
        return by
    return f"{measure} {'ASC' if wanted.lowest else 'DESC'}, {by}"
