"""The sample shop: its read-only database, and the offline model's questions and SQL."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from plan_engine.errors import StepFailed
from plan_engine.templates.shop_analyst import (
    MEASURES,
    NAMES,
    ShopQuestion,
    groupings,
    parse_question,
    sql_for,
    summarize,
    unknown_names,
    wrong_sql_for,
)
from plan_engine.templates.shop_database import MAX_ROWS, MAX_SQL, QueryRefused, explain, query, sql_problem


def test_the_shop_has_the_expected_data() -> None:
    assert query("SELECT COUNT(*) AS n FROM orders").rows == [[3212]]
    assert query("SELECT MIN(ordered_on), MAX(ordered_on) FROM orders").rows == [["2025-01-01", "2026-10-31"]]
    regions = query("SELECT region, COUNT(*) FROM customers GROUP BY region").rows
    assert regions == [["East", 43], ["North", 76], ["South", 75], ["West", 46]]


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM orders",
        "INSERT INTO products VALUES (99, 'x', 'y', 1)",
        "DROP TABLE orders",
        "ATTACH 'elsewhere.db' AS elsewhere",
        "PRAGMA writable_schema = 1",
        "SELECT * FROM sqlite_master",
        "SELECT load_extension('evil')",
        "SELECT 1; DELETE FROM orders",
        "VACUUM INTO 'copy.db'",
        "SELECT zeroblob(1000000000)",
        "CREATE TEMP TABLE x (y)",
        "SELECT COUNT(*) FROM sqlite_master",
        "SELECT printf('%.*c', 1000000000, 'x')",
        "SELECT fts3_tokenizer('simple')",
        f"SELECT {', '.join(['hex(zeroblob(8000))'] * 100)} FROM orders",
    ],
)
def test_statements_that_do_not_just_read_the_shop_are_refused(sql: str) -> None:
    with pytest.raises(QueryRefused):
        query(sql)
    assert query("SELECT COUNT(*) FROM orders").rows == [[3212]]


def test_the_rows_of_a_cte_can_be_counted() -> None:
    assert query("WITH found AS (SELECT city FROM customers GROUP BY city) SELECT COUNT(*) FROM found").rows == [[9]]


def test_a_query_that_takes_too_long_is_stopped() -> None:
    with pytest.raises(QueryRefused, match=r"0\.05 s"):
        query("SELECT COUNT(*) FROM order_items a, order_items b, order_items c", seconds=0.05)


def test_rows_are_limited_and_more_is_reported() -> None:
    found = query("SELECT * FROM orders")
    assert len(found.rows) == MAX_ROWS
    assert found.more
    assert not query("SELECT * FROM products").more


def test_explain_finds_errors_without_running_the_statement() -> None:
    explain("SELECT COUNT(*) FROM order_items a, order_items b, order_items c, order_items d")
    with pytest.raises(QueryRefused, match="total"):
        explain("SELECT total FROM orders")


async def test_concurrent_first_uses_create_one_shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    found = await asyncio.gather(*(asyncio.to_thread(query, "SELECT COUNT(*) FROM orders") for _ in range(8)))
    assert [table.rows for table in found] == [[[3212]]] * 8
    [shop] = (tmp_path / ".plancast").iterdir()
    assert shop.suffix == ".db"


def test_a_directory_where_the_shop_cannot_be_created_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".plancast").write_text("a file where a directory should be")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(StepFailed, match=r"\.plancast"):
        query("SELECT 1")


# ---- valid SQL


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1",
        "select count(*) from Orders",
        "WITH big AS (SELECT * FROM orders) SELECT COUNT(*) FROM big",
        "SELECT name FROM customers UNION SELECT name FROM products",
        "SELECT * FROM main.orders -- all of them",
    ],
)
def test_valid_sql_has_no_problem(sql: str) -> None:
    assert sql_problem(sql) is None


@pytest.mark.parametrize(
    ("sql", "problem"),
    [
        ("", "0 statements"),
        ("SELECT 1; SELECT 2", "2 statements"),
        ("DELETE FROM orders", "DELETE"),
        ("PRAGMA user_version", "PRAGMA"),
        ("ATTACH 'x' AS y", "SELECT"),
        ("WITH x AS (DELETE FROM orders RETURNING *) SELECT * FROM x", "syntax error"),
        ("SELECT * FROM sqlite_master", "sqlite_master"),
        ("SELECT * FROM (SELECT * FROM payments)", "payments"),
        ("SELECT * FROM json_each('[1]')", "table"),
        ("SELECT total FROM orders", "total"),
        ("SELECT date_trunc('month', ordered_on) FROM orders", "date_trunc"),
        ("SELECT 'abc", "SQL"),
        ("SELECT (", "SQL"),
        ("(" * 1500 + "SELECT 1", "nested"),
        (f"SELECT '{'x' * MAX_SQL}'", "4,000"),
    ],
)
def test_invalid_sql_is_explained(sql: str, problem: str) -> None:
    assert problem in str(sql_problem(sql))


# ---- questions as the offline model parses them


@pytest.mark.parametrize(
    ("question", "wanted"),
    [
        ("Show me sales by month", ShopQuestion("sales", "month")),
        ("Who are our best customers?", ShopQuestion("sales", "customer", limit=5)),
        ("top 3 products by revenue in 2025", ShopQuestion("sales", "product", "2025", limit=3)),
        ("Which ten products sell worst?", ShopQuestion("sales", "product", limit=5, lowest=True)),
        ("How many orders did we have in August?", ShopQuestion("orders", period="2026-08")),
        ("How many orders in November?", ShopQuestion("orders", period="2025-11")),
        ("how many customers do we have", ShopQuestion("customers")),
        ("how many customers in each region?", ShopQuestion("customers", "region")),
        ("Which city buys the least?", ShopQuestion("sales", "city", limit=5, lowest=True)),
        ("average order value by category", ShopQuestion("average order", "category")),
        ("cancelled orders per month in 2026", ShopQuestion("cancellations", "month", "2026")),
        ("What was returned most, by category?", ShopQuestion("returns", "category", limit=5)),
        ("May I see last month's sales?", ShopQuestion("sales", period="2026-10")),
        ("sales last year", ShopQuestion("sales", period="2025")),
        (
            "Show me my top 5 Instagram posts by engagement",
            ShopQuestion("engagement", "post", limit=5, only=(("platform", "Instagram"),)),
        ),
        ("Which platform has the best engagement rate?", ShopQuestion("engagement rate", "platform", limit=5)),
        ("How many posts on Facebook in 2026?", ShopQuestion("posts", period="2026", only=(("platform", "Facebook"),))),
        ("sales in London", ShopQuestion("sales", only=(("city", "London"),))),
        ("How many oak desks did we sell?", ShopQuestion("units", only=(("product", "Oak desk"),))),
        ("Leeds or London?", ShopQuestion("sales", "city", limit=5, only=(("city", "Leeds"), ("city", "London")))),
        ("engagement by customer", None),
        ("Instagram sales", None),
        ("sales in Hamburg", None),
        ("top 5 TikTok videos by views", None),
        ("help", None),
        ("What?", None),
    ],
)
def test_questions_are_parsed(question: str, wanted: ShopQuestion | None) -> None:
    assert parse_question(question) == wanted


@pytest.mark.parametrize(
    ("question", "names"),
    [("sales in Hamburg", ["Hamburg"]), ("top TikTok videos", ["TikTok"]), ("sales in London, by Month in Q3", [])],
)
def test_names_that_the_data_does_not_have_are_noticed(question: str, names: list[str]) -> None:
    assert unknown_names(question) == names


def test_the_names_are_those_of_the_data() -> None:
    columns = {"platform": "posts", "city": "customers", "category": "products"}
    found = {kind: query(f"SELECT DISTINCT {kind} FROM {table}").rows for kind, table in columns.items()}
    found["product"] = query("SELECT name FROM products").rows
    assert {kind: {name for [name] in rows} for kind, rows in found.items()} == {
        kind: {*names} for kind, names in NAMES.items()
    }


def test_the_top_posts_are_those_with_the_most_engagement() -> None:
    wanted = parse_question("Show me my top 5 Instagram posts by engagement")
    assert wanted is not None
    rows = query("SELECT caption, likes + comments + shares AS n, platform FROM posts ORDER BY n DESC").rows
    best = [(caption, n) for caption, n, platform in rows if platform == "Instagram"][:5]
    found = query(sql_for(wanted)).rows
    assert [(str(post).partition(", ")[2], n) for post, n in found] == best


@pytest.mark.parametrize(("measure", "by"), [(one, by) for one in MEASURES for by in [None, *groupings(one)]])
def test_every_measure_and_grouping_has_valid_sql(measure: str, by: str | None) -> None:
    names = ((by, NAMES[by][0]),) if by and by in NAMES else ()
    for period, only in ((None, ()), ("2026", names), ("2025-12", ())):
        wanted = ShopQuestion(measure, by, period, only=only)
        sql = sql_for(wanted)
        assert sql_problem(sql) is None
        found = query(sql)
        assert found.rows
        assert found.rows[0][-1]
        assert summarize("a question", found.columns, found.rows)


def test_wrong_sql_does_not_pass_the_check() -> None:
    for how in (0, 1):
        for measure in ("sales", "likes"):
            assert sql_problem(wrong_sql_for(ShopQuestion(measure, "month"), how)) is not None


def test_an_empty_result_is_summarized() -> None:
    assert "no data" in summarize("orders in 2019", ["orders"], [[None]])
