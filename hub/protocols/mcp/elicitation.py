"""A person's answers to questions: how each era of MCP asks for them.

A call that needs an answer returns `InputRequiredResult`. A client of the newer era asks the person and repeats the call.
For clients of the older era, `settled` does both: it asks with `elicitation/create`, and repeats the call itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Final, cast

from mcp.server.context import ServerRequestContext
from mcp.types import (
    CallToolRequestParams,
    CallToolResult,
    ElicitRequest,
    ElicitRequestFormParams,
    InputRequiredResult,
    InputResponses,
)
from mcp.types.version import MODERN_PROTOCOL_VERSIONS

__all__ = ["ToolCalling", "elicits", "reporter_of", "settled"]

AGAIN_S: Final = 45
"""Seconds of one look at a plan while a person is asked."""

ToolCalling = Callable[[CallToolRequestParams], Awaitable[CallToolResult | InputRequiredResult]]


def elicits(ctx: ServerRequestContext[Any, Any]) -> bool:
    """Whether the client shows forms to a person, and can be asked to."""
    capabilities = ctx.session.client_capabilities
    elicitation = capabilities.elicitation if capabilities is not None else None
    forms = elicitation is not None and (elicitation.form is not None or elicitation.url is None)
    return forms and (_is_modern(ctx) or ctx.session.can_send_request)


async def settled(
    ctx: ServerRequestContext[Any, Any], params: CallToolRequestParams, call: ToolCalling
) -> CallToolResult | InputRequiredResult:
    """The result of the call, in the form that the client's era has."""
    result = await call(params)
    while isinstance(result, InputRequiredResult) and not _is_modern(ctx):
        result = await _ask(ctx, params, call, result)
    return result


def reporter_of(ctx: ServerRequestContext[Any, Any]) -> Callable[[float, str], Awaitable[None]]:
    """Reports progress of one request, which must rise although the request may be repeated here."""
    reported = 0.0

    async def report(offset: float, text: str) -> None:
        nonlocal reported
        if offset > reported:
            reported = offset
            await ctx.session.report_progress(offset, None, text)

    return report


def _is_modern(ctx: ServerRequestContext[Any, Any]) -> bool:
    return ctx.protocol_version in MODERN_PROTOCOL_VERSIONS


async def _ask(
    ctx: ServerRequestContext[Any, Any], params: CallToolRequestParams, call: ToolCalling, required: InputRequiredResult
) -> CallToolResult | InputRequiredResult:
    """Asks the person, unless the questions are answered elsewhere meanwhile, and repeats the call."""
    state = {"request_state": required.request_state}

    async def asked() -> CallToolResult | InputRequiredResult:
        responses = await _responses(ctx, required)
        return await call(params.model_copy(update={**state, "input_responses": responses}))

    async def answered_elsewhere() -> CallToolResult | InputRequiredResult:
        arguments = {**(params.arguments or {}), "wait": AGAIN_S}
        repeated = params.model_copy(update={**state, "input_responses": None, "arguments": arguments})
        while True:
            result = await call(repeated)
            if not _still_asks(result, required):
                return result

    return await _first(asked(), answered_elsewhere())


async def _responses(ctx: ServerRequestContext[Any, Any], required: InputRequiredResult) -> InputResponses:
    responses: InputResponses = {}
    for name, request in (required.input_requests or {}).items():
        if isinstance(request, ElicitRequest) and isinstance(request.params, ElicitRequestFormParams):
            responses[name] = await ctx.session.elicit_form(
                request.params.message, request.params.requested_schema, related_request_id=ctx.request_id
            )
    return responses


def _still_asks(result: CallToolResult | InputRequiredResult, required: InputRequiredResult) -> bool:
    content: object = None if isinstance(result, InputRequiredResult) else result.structured_content
    if not isinstance(content, dict):
        return False
    fields = cast("Mapping[str, Any]", content)
    open_now = {question["request_id"] for question in fields.get("questions", ())}
    over = fields.get("ended") or fields.get("restarting")
    return not over and open_now >= set(required.input_requests or ())


async def _first(
    *ways: Coroutine[Any, Any, CallToolResult | InputRequiredResult],
) -> CallToolResult | InputRequiredResult:
    """The result of the first to finish; the others are cancelled."""
    tasks = [asyncio.ensure_future(way) for way in ways]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return next(task for task in tasks if task.done()).result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
