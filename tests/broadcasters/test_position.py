"""`Lineage.continuity` as a table: every kind of position against every kind of log."""

from __future__ import annotations

from itertools import product

import pytest

from broadcasters.position import Continuity, Lineage, Position

FRESH = Lineage("c")
GROWN = Lineage("c", (("a", 3), ("b", 6)))
"""Epoch a ended at 3, b at 6; c goes on from there."""

TABLE: list[tuple[str, Lineage, int, int, Position, Continuity]] = [
    # case, lineage, head, floor, position, answer
    ("a plan without events, from its beginning", Lineage(), 0, 0, Position("", 0), "ok"),
    ("a plan that is gone, from a place it had", Lineage(), 0, 0, Position("c", 3), "epoch"),
    ("from the beginning", FRESH, 9, 0, Position("", 0), "ok"),
    ("from the beginning, whatever the epoch", FRESH, 9, 0, Position("lost", 0), "ok"),
    ("from the beginning, which was trimmed", FRESH, 9, 4, Position("", 0), "trimmed"),
    ("from the beginning of the current epoch, which was trimmed", FRESH, 9, 4, Position("c", 0), "trimmed"),
    ("from within", FRESH, 9, 0, Position("c", 5), "ok"),
    ("from the head", FRESH, 9, 0, Position("c", 9), "ok"),
    ("one behind the head", FRESH, 9, 0, Position("c", 10), "ahead"),
    ("ahead wins over trimmed", FRESH, 9, 9, Position("c", 10), "ahead"),
    ("from the floor", FRESH, 9, 4, Position("c", 4), "ok"),
    ("from one below the floor", FRESH, 9, 4, Position("c", 3), "trimmed"),
    ("from the floor, when all is trimmed", FRESH, 9, 9, Position("c", 9), "ok"),
    ("from an unknown epoch", FRESH, 9, 0, Position("lost", 5), "epoch"),
    ("from an unknown epoch, behind the head", FRESH, 9, 0, Position("lost", 10), "epoch"),
    ("from an unknown epoch, below the floor", FRESH, 9, 4, Position("lost", 2), "epoch"),
    ("without an epoch", FRESH, 9, 0, Position("", 5), "epoch"),
    ("from the first epoch, within", GROWN, 9, 0, Position("a", 2), "ok"),
    ("from the first epoch, its end", GROWN, 9, 0, Position("a", 3), "ok"),
    ("from the first epoch, more than survived", GROWN, 9, 0, Position("a", 4), "forked"),
    ("from the second epoch, its end", GROWN, 9, 0, Position("b", 6), "ok"),
    ("from the second epoch, before it began", GROWN, 9, 0, Position("b", 2), "ok"),
    ("from the second epoch, more than survived", GROWN, 9, 0, Position("b", 7), "forked"),
    ("from an older epoch, behind the head", GROWN, 9, 0, Position("b", 12), "forked"),
    ("forked wins over trimmed", GROWN, 9, 8, Position("b", 7), "forked"),
    ("from an older epoch, below the floor", GROWN, 9, 3, Position("a", 2), "trimmed"),
    ("from an older epoch, at the floor", GROWN, 9, 3, Position("a", 3), "ok"),
    ("from the current epoch, before it began", GROWN, 9, 0, Position("c", 4), "ok"),
    ("from the current epoch, ahead", GROWN, 9, 0, Position("c", 10), "ahead"),
]


@pytest.mark.parametrize(
    ("lineage", "head", "floor", "place", "answer"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_continuity(lineage: Lineage, head: int, floor: int, place: Position, answer: Continuity) -> None:
    assert lineage.continuity(place, head, floor) == answer


def told(lineage: Lineage, head: int) -> dict[str, set[int]]:
    """The offsets that a reader may have reached in each epoch, computed without the code under test."""
    ends = [*lineage.ended, (lineage.epoch, head)]
    return {epoch: set(range(1, end + 1)) for epoch, end in ends if epoch}


@pytest.mark.parametrize(
    "lineage", [Lineage(), FRESH, GROWN, Lineage("c", (("a", 0),)), Lineage("c", (("a", 3), ("b", 3)))]
)
def test_a_reader_goes_on_just_when_all_it_saw_is_still_there_and_all_that_follows(lineage: Lineage) -> None:
    for head, floor, offset, epoch in product(range(6, 10), range(10), range(13), ["", "a", "b", "c", "lost"]):
        if floor > head or (lineage.epoch == "" and (head or floor)):
            continue
        answer = lineage.continuity(Position(epoch, offset), head, floor)
        survived = offset == 0 or offset in told(lineage, head).get(epoch, set())
        assert (answer == "ok") == (survived and offset >= floor)
        assert (answer == "trimmed") == (survived and offset < floor)
        if not survived:
            kinds: dict[bool, Continuity] = {True: "ahead" if epoch == lineage.epoch else "forked", False: "epoch"}
            assert answer == kinds[lineage.contains(epoch) and epoch != ""]


def test_the_empty_plan_continues_only_from_its_beginning() -> None:
    answers = {offset: Lineage().continuity(Position("c", offset), 0, 0) for offset in range(3)}
    assert answers == {0: "ok", 1: "epoch", 2: "epoch"}


def test_a_lineage_contains_its_epochs_and_no_other() -> None:
    assert [GROWN.contains(epoch) for epoch in ("a", "b", "c", "d")] == [True, True, True, False]
    assert not FRESH.contains("a")
