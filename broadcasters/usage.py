"""Usage of language models: tokens, requests and cost, as the agent reports them."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation, localcontext
from typing import Annotated, Any, Final, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, ValidationError, WithJsonSchema

from broadcasters.errors import InvalidEvent

__all__ = ["EXACT", "Cost", "Usage", "UsageFields", "usage_of"]

EXACT: Final = Context(prec=60, rounding=ROUND_HALF_EVEN)
"""Decimal arithmetic in which no sum of costs is rounded."""

MOST_TOKENS: Final = 1_000_000_000
_SMALLEST: Final = Decimal("1e-12")
_LIMIT: Final = Decimal(10**9)
_MILLION: Final = 1_000_000


def _decimal(value: object) -> Decimal:
    """A float counts as the decimal number that it is printed as."""
    if isinstance(value, bool) or not isinstance(value, Decimal | str | int | float):
        raise ValueError(f"expected a decimal number, such as Decimal('0.0125') or '0.0125'; got {value!r:.40}")
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise ValueError(f"expected a decimal number, such as '0.0125'; got {value!r:.40}") from None
    if not number.is_finite() or not 0 <= number < _LIMIT:
        raise ValueError(f"expected a number from 0 to less than {_LIMIT:,}; got {value!r:.40}")
    return number


def _cost(value: object) -> Decimal:
    return abs(_decimal(value).quantize(_SMALLEST, context=EXACT).normalize(EXACT))


def _plain(value: Decimal) -> str:
    return f"{value:f}"


Cost: TypeAlias = Annotated[
    Decimal,
    PlainSerializer(_plain, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": r"^\d+(\.\d{1,12})?$"}),
]
"""An amount of money, in JSON a string, so that no reader rounds it."""
ReportedCost: TypeAlias = Annotated[Cost, BeforeValidator(_cost)]
Tokens: TypeAlias = Annotated[int, Field(ge=0, le=MOST_TOKENS)]


class Usage(BaseModel):
    """What was used of a language model, and is reported by no other event: tokens, requests and cost.

    Every field is optional; one that is missing is unknown. The cost is what the agent reports: a Decimal, a string or a
    number, with up to 12 decimal places. `priced` computes it from your own prices.

    Example:
        usage = Usage(model="gpt-5", input_tokens=1200, output_tokens=80, cost=Decimal("0.0023"))
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", allow_inf_nan=False)

    model: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    input_tokens: Tokens | None = None
    """All tokens of the input, those from a cache too."""
    output_tokens: Tokens | None = None
    """All tokens of the output, those for reasoning too."""
    cached_tokens: Tokens | None = None
    """The input tokens that were read from a cache."""
    reasoning_tokens: Tokens | None = None
    """The output tokens that were used for reasoning."""
    requests: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    cost: ReportedCost | None = None
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] | None = None
    """Of the cost, as in ISO 4217; USD if it is missing."""

    def priced(
        self,
        input_price: Decimal | str | float,
        output_price: Decimal | str | float,
        *,
        cached_price: Decimal | str | float | None = None,
        currency: str = "USD",
    ) -> Usage:
        """Return the same usage with its cost, computed from prices per million tokens.

        Args:
            input_price: The price of a million input tokens.
            output_price: The price of a million output tokens, those for reasoning included.
            cached_price: The price of a million input tokens from a cache; by default that of other input.
            currency: The currency of the prices.

        Returns:
            A new usage; this one if its tokens of input or output are unknown.

        Raises:
            InvalidEvent: A price is no number, or the currency has not three capital letters.

        Example:
            Usage(input_tokens=1_000, output_tokens=200).priced("2.50", "10")
        """
        if self.input_tokens is None or self.output_tokens is None:
            return self
        cached = min(self.cached_tokens or 0, self.input_tokens)
        prices = (input_price, input_price if cached_price is None else cached_price, output_price)
        tokens = (self.input_tokens - cached, cached, self.output_tokens)
        try:
            with localcontext(EXACT):
                cost = sum(number * _decimal(price) for number, price in zip(tokens, prices, strict=True)) / _MILLION
        except ValueError as error:
            raise InvalidEvent("price", str(error)) from None
        return usage_of({**dict(self), "cost": cost, "currency": currency})


UsageFields: TypeAlias = Usage | Mapping[str, Any]
"""A usage, or its fields."""


def usage_of(given: UsageFields) -> Usage:
    """The usage; raises `InvalidEvent` when one of its fields is wrong."""
    if isinstance(given, Usage):
        return given
    try:
        return Usage.model_validate(dict(given))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise InvalidEvent(f"usage.{field}", first["msg"].removeprefix("Value error, ")) from None
