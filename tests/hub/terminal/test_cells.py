"""The columns of a text, by grapheme, and tables that fit the terminal."""

from __future__ import annotations

import pytest

from hub.terminal import Look, table
from hub.terminal.cells import cells, cut, graphemes

FAMILY = "\U0001f469\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466"
FLAGS = "\U0001f1e9\U0001f1ea\U0001f1eb\U0001f1f7"


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("", 0),
        ("plan", 4),
        ("日本語", 6),
        ("한글", 4),
        ("\u1112\u1161\u11ab", 2),  # the same syllable in parts: 한
        ("e\u0301", 1),  # a combining accent
        ("\uff71", 1),  # a half-width katakana
        ("नि", 2),
        ("ก็", 1),
        ("\U0001f44d", 2),
        ("\U0001f44d\U0001f3fd", 2),  # with a skin tone
        (FAMILY, 2),  # joined by ZWJ
        ("\U0001f3f3\ufe0f\u200d\U0001f308", 2),
        ("\U0001f9d1\U0001f3fd\u200d\U0001f680", 2),
        (FLAGS, 4),
        ("\u2764", 1),
        ("\u2764\ufe0f", 2),  # as an emoji
        ("1\ufe0f\u20e3", 2),  # a keycap
        ("✓ █", 3),
        ("a\u200bb", 2),
    ],
)
def test_columns_of_a_text(text: str, columns: int) -> None:
    """The numbers agree with those of wcwidth 0.9.4."""
    assert cells(text) == columns
    assert "".join(grapheme for grapheme, _ in graphemes(text)) == text


def test_a_text_is_cut_between_graphemes() -> None:
    assert cut("plan", 4) == "plan"
    assert cut("plans", 4) == "pla…"
    assert cut("日本語", 5) == "日本…"
    assert cut("日本語", 4) == "日…"
    assert cut(f"{FAMILY}{FAMILY}", 3) == f"{FAMILY}…"
    assert cut("ab cd", 4) == "ab…"
    assert cut("ab", 0) == ""


ROWS = [
    ["plan-1", "in progress", "Autumn campaign for the shop in the old town"],
    ["plan-2", "waiting", "日本語 " * 12],
]


@pytest.mark.parametrize("width", [40, 50, 80, 140])
def test_a_table_fits_the_terminal(width: int) -> None:
    lines = table(("PLAN", "STATUS", "TITLE"), ROWS, Look(live=True, width=width), whole=("STATUS",)).split("\n")
    assert max(map(cells, lines)) <= width
    assert [line.split()[0] for line in lines] == ["PLAN", "plan-1", "plan-2"]
    assert "in progress" in lines[1]
    assert ("…" in lines[1]) is (width < 64)


def test_a_pipe_gets_the_whole_table() -> None:
    lines = table(("PLAN", "STATUS", "TITLE", "OWNER"), [[*row, ""] for row in ROWS], Look()).split("\n")
    assert lines[0].split() == ["PLAN", "STATUS", "TITLE"]  # an empty column is left out
    assert lines[1].endswith(ROWS[0][2])


def test_styles_do_not_count() -> None:
    look = Look(colour=True, live=True, width=40)
    plain = table(("A", "B"), ROWS_OF_TWO, Look(live=True, width=40))
    styled = table(("A", "B"), ROWS_OF_TWO, look, style=lambda row, head: "good" if (row, head) == (0, "B") else "")
    assert "\x1b[32m" in styled.split("\n")[1]
    for code in ("\x1b[0m", "\x1b[1m", "\x1b[32m"):
        styled = styled.replace(code, "")
    assert styled == plain


ROWS_OF_TWO = [["x", "y " * 30], ["xx", "z"]]
