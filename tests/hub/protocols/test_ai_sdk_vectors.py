"""The vectors of the AI SDK hold what the hub sends, and what the model of the client makes of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from tests.hub.protocols.ai_sdk_vectors import VECTORS, case_of, events_of

CASES = [case for path in sorted(VECTORS.glob("*.json")) for case in json.loads(path.read_text())["cases"]]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_the_hub_sends_these_chunks(case: Mapping[str, Any]) -> None:
    assert case_of(case["name"], events_of(case), case["cut"]) == case
