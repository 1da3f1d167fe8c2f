"""The fuzz target run with hypothesis: C-BAD-1 to C-BAD-6."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.fuzz.fuzz_wire import run_session, write_seeds

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
kinds = st.sampled_from(
    ["subscribe_plan", "unsubscribe_plan", "authenticate", "plan_input", "plan_signal", "ping", "x"]
)
words = st.sampled_from(["p", "q", "now", "start", "snapshot", "cancel", "pause", "r"])
names = ["plan_id", "since", "request_id", "token", "answer", "signal", "nonce", "idempotency_key"]
lines = st.fixed_dictionaries({"type": kinds | values}, optional=dict.fromkeys(names, words | values)).map(
    lambda fields: json.dumps(fields).encode()
)


def test_the_seeds_from_the_vectors(tmp_path: Path) -> None:
    write_seeds(tmp_path)
    seeds = list(tmp_path.iterdir())
    assert len(seeds) > 50
    for each in seeds:
        run_session(each.read_bytes())


@settings(max_examples=150)
@given(st.lists(lines | st.binary(max_size=60), max_size=12).map(b"\n".join))
@example(b'{"type":"ping","nonce":"\\ud800"}')
@example(b'{"type":"plan_input","plan_id":"p","request_id":"r","answer":"\\udfff"}')
@example(b"[" * 50_000)
@example(b"\xff\n{}")
def test_no_client_frame_raises(data: bytes) -> None:
    run_session(data)
