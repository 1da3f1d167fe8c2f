"""The models of providers: the model that a name means, and why it did not answer, for people."""

from __future__ import annotations

import os
from typing import Any, Final, cast

from pydantic_ai.exceptions import (
    AgentRunError,
    ModelAPIError,
    ModelAuthenticationError,
    ModelContextWindowExceededError,
    ModelHTTPError,
    ModelNotFoundError,
    ModelQuotaExceededError,
    ModelRateLimitError,
    ModelRequestRejectedError,
    UserError,
)
from pydantic_ai.models import Model, infer_model
from pydantic_ai.settings import ModelSettings

from plan_engine.errors import StepFailed, encodable

__all__ = ["SETTINGS", "ModelFailed", "ModelMisconfigured", "online_model"]

SETTINGS: Final = ModelSettings(max_retries=0)
"""Requests are repeated by `Role`, which shows it in the plan; not by the provider's client."""
LONGEST_WAIT_S: Final = 60.0
"""A provider that asks for more patience than this has failed."""
MAX_REASON: Final = 300
"""Characters of a provider's own message that people see."""
_FOR_GOOD: Final = (ModelRequestRejectedError, ModelQuotaExceededError)
"""The same request would fail again."""


class ModelMisconfigured(StepFailed):
    """PLANCAST_MODEL names no model that can be used here. The operator must change it; the message says why."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(
            f"PLANCAST_MODEL is {name!r}, and that model can't be used: {why} "
            f"(Without PLANCAST_MODEL the offline model answers.)",
            retry=False,
        )


def online_model(name: str) -> Model:
    """Pydantic AI's model of that name, without sending it anything.

    `openai:…` with OPENAI_BASE_URL uses chat completions, which all compatible servers have, instead of OpenAI's
    responses API. A stream that ends without a finish reason counts as cut.

    Raises:
        ModelMisconfigured: there is no such model, or a key or address is missing.
    """
    provider, _, rest = name.partition(":")
    if provider == "openai" and os.environ.get("OPENAI_BASE_URL"):
        provider = "openai-chat"
    try:
        model = infer_model(f"{provider}:{rest}" if rest else name)
        # Not above: with OpenAI's client, a hub whose model is offline would take a quarter longer to start.
        from pydantic_ai.models.openai import OpenAIChatModel
        from pydantic_ai.profiles.openai import OpenAIModelProfile

        if isinstance(model, OpenAIChatModel):
            whole = OpenAIModelProfile(openai_chat_streaming_requires_finish_reason=True)
            return type(model)(model.model_name, provider=cast("Any", model.provider), profile=whole)
    except (UserError, ImportError, ValueError) as error:
        raise ModelMisconfigured(name, _first_sentence(str(error))) from error
    return model


def _first_sentence(text: str) -> str:
    """What is wrong. The rest is advice about Pydantic AI, which readers of this error may not know."""
    sentence = text.partition(". ")[0].strip().rstrip(".")
    return f"{sentence}."


class ModelFailed(StepFailed):
    """A model did not answer, or its answer can't be used. The message says why, for people.

    Attributes:
        wait: the seconds after which the same request may succeed, if the provider named them.
        again: whether to send the same request again.
    """

    def __init__(self, error: AgentRunError) -> None:
        super().__init__(_reason(error), retry=not isinstance(error, _FOR_GOOD))
        self.wait = error.retry_after if isinstance(error, ModelAPIError) else None
        self.again = self.retry and isinstance(error, ModelAPIError) and (self.wait or 0) <= LONGEST_WAIT_S


def _reason(error: AgentRunError) -> str:
    if not isinstance(error, ModelAPIError):
        return "The model's answer could not be used"
    status = f" (status {error.status_code})" if isinstance(error, ModelHTTPError) else ""
    model = f"The model {error.model_name}"
    match error:
        case ModelAuthenticationError():
            return f"{model} refused the API key{status}; check the key, and its access to the model"
        case ModelNotFoundError():
            return f"There is no model {error.model_name} at its provider{status}; check PLANCAST_MODEL and the address"
        case ModelQuotaExceededError():
            return f"{model} is out of quota or credit{status}"
        case ModelRateLimitError(retry_after=None):
            return f"{model} gets too many requests{status}"
        case ModelRateLimitError(retry_after=seconds):
            return f"{model} gets too many requests{status}, and asks to wait {seconds:g} s"
        case ModelContextWindowExceededError():
            return f"The request is too long for the model {error.model_name}{status}"
        case ModelRequestRejectedError():
            return f"{model} rejected the request{status}{_quoted(error)}"
        case ModelHTTPError():
            return f"{model} failed{status}"
        case _:
            return f"{model} could not be reached, or the connection broke before its answer was complete"


def _quoted(error: ModelAPIError) -> str:
    """The provider's own message, if there is one."""
    body: Any = error.body
    message = cast("dict[str, Any]", body).get("message") if isinstance(body, dict) else None
    return f": {encodable(message)[:MAX_REASON]}" if isinstance(message, str) and message.strip() else ""
