"""Each `read_…` reads what `write_…` wrote, and refuses anything else."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcasters.log.contract import Checkpoint, Entry, Head, Page
from broadcasters.log.http.lines import (
    Unreadable,
    read_appends,
    read_checkpoint,
    read_head,
    read_page,
    write_append,
    write_checkpoint,
    write_head,
    write_page,
)
from broadcasters.position import Lineage, Position

payloads = st.binary(min_size=1, max_size=50).map(lambda one: one.replace(b"\n", b" "))
names = st.text(st.characters(categories=("L", "N", "P")), min_size=1, max_size=20)
entries = st.lists(st.builds(Entry, payloads, st.none() | names), min_size=1, max_size=5)
epochs = st.text("0123456789abcdef", min_size=1, max_size=8)
lineages = st.builds(Lineage, epochs, st.lists(st.tuples(epochs, st.integers(1, 2**50)), max_size=3).map(tuple))
heads = st.builds(Head, lineages, st.integers(0, 2**50), st.integers(0, 2**50))


@given(st.lists(st.tuples(names, names, st.integers(1, 2**50), entries), min_size=1, max_size=4))
def test_appends(said: list[tuple[str, str, int, list[Entry]]]) -> None:
    asked = read_appends(b"".join(write_append(*one) for one in said), 256)
    assert [(one.plan_id, one.producer, one.seq, list(one.entries)) for one in asked] == said


@given(heads, st.integers(1, 2**50), st.lists(payloads, max_size=5))
def test_pages(head: Head, first: int, events: list[bytes]) -> None:
    assert read_page(write_page(Page(head, first, events))) == Page(head, first, events)
    assert read_head(write_head(head)) == head


@given(epochs, st.integers(1, 2**50), payloads, st.integers(0, 2**50))
def test_checkpoints(epoch: str, offset: int, snapshot: bytes, window: int) -> None:
    kept = Checkpoint(Position(epoch, offset), snapshot)
    assert read_checkpoint(write_checkpoint(kept, window)) == (kept, window)


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_noise_is_unreadable_and_nothing_worse(noise: bytes) -> None:
    for read in (partial(read_appends, most=256), read_page, read_checkpoint):
        with pytest.raises(Unreadable):
            read(noise)


def test_more_appends_than_are_wanted_are_not_even_read() -> None:
    append = write_append("p", "a", 1, [Entry(b"{}")])
    assert len(read_appends(append * 3, 3)) == 3
    with pytest.raises(Unreadable, match="3 appends"):
        read_appends(append * 3 + b"nonsense\n", 3)
