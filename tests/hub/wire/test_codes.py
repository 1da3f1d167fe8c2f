"""A client can tell what to do from the number alone: C-COD-1 to C-COD-3."""

from __future__ import annotations

import pytest

from hub.wire.codes import (
    CLOSE_CODES,
    ERROR_CODES,
    SUBSCRIPTION_CODES,
    CloseCode,
    Code,
    ErrorCode,
    SubscriptionCode,
    reconnectable,
)


def test_every_code_is_explained() -> None:
    assert set(CLOSE_CODES) == set(CloseCode)
    assert set(SUBSCRIPTION_CODES) == set(SubscriptionCode)
    assert set(ERROR_CODES) == set(ErrorCode)


@pytest.mark.parametrize("code", [*CLOSE_CODES.values(), *SUBSCRIPTION_CODES.values(), *ERROR_CODES.values()])
def test_an_explanation_is_whole_sentences(code: Code) -> None:
    assert code.meaning.endswith(".")
    assert code.todo.endswith(".")


@pytest.mark.parametrize("code", CloseCode)
def test_the_instruction_agrees_with_the_number(code: CloseCode) -> None:
    told_to_stop = CLOSE_CODES[code].todo.startswith(("Stop", "Nothing"))
    assert reconnectable(code) is not told_to_stop


def test_unknown_codes() -> None:
    assert [code for code in range(4400, 4500) if not reconnectable(code)] == []
    assert [code for code in range(4500, 4600) if reconnectable(code)] == []
    assert all(reconnectable(code) for code in (1001, 1005, 1006, 1011, 1012, 1013, 3000, 4000, 4600))
    assert not any(reconnectable(code) for code in (1000, 1002, 1003, 1007, 1008, 1009))


def test_subscription_codes_show_by_their_number_whether_to_subscribe_again() -> None:
    again = {code for code in SubscriptionCode if code >= 2500}
    assert again == {SubscriptionCode.CONTINUITY_LOST, SubscriptionCode.TOKEN_EXPIRED}
