"""The usage of a response of Pydantic AI, as events report it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from decimal import Decimal

import genai_prices
from pydantic_ai.messages import ModelMessage, ModelResponse

from broadcasters.usage import Usage, usage_of

__all__ = ["usages_in"]


def usages_in(messages: Iterable[ModelMessage]) -> Iterator[Usage]:
    """The usage of each of the responses that report one."""
    for message in messages:
        if isinstance(message, ModelResponse) and message.usage.has_values():
            yield _usage(message)


def _usage(response: ModelResponse) -> Usage:
    used = response.usage
    fields = {
        "model": response.model_name,
        "input_tokens": used.input_tokens,
        "output_tokens": used.output_tokens,
        "cached_tokens": used.cache_read_tokens or None,
        "reasoning_tokens": used.output_reasoning_tokens or used.details.get("reasoning_tokens"),
        "requests": 1,
        "cost": used.cost if used.cost is not None else _cost(response),
    }
    return usage_of({name: value for name, value in fields.items() if value is not None})


def _cost(response: ModelResponse) -> Decimal | None:
    """The price at the response's own address: a model of the same name on a server of one's own has none."""
    if response.provider_url is not None and response.model_name is not None:
        with suppress(LookupError):
            return genai_prices.calc_price(
                response.usage,
                model_ref=response.model_name,
                provider_api_url=response.provider_url,
                genai_request_timestamp=response.timestamp,
            ).total_price
    return None
