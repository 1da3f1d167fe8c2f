"""The formats of language models' APIs: OpenAI's chat completions and responses (also as Azure serves them), and
Anthropic's messages."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final, Protocol

__all__ = ["APIS", "Call", "ChatRequest", "ModelApi", "Reply"]


@dataclass(frozen=True, slots=True)
class Call:
    """The call of a tool."""

    tool: str
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])


Reply = str | Call


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A request for a completion, in the terms of OpenAI's API."""

    path: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]

    @property
    def model(self) -> str:
        return str(self.body.get("model", ""))

    @property
    def messages(self) -> Sequence[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = self.body["messages"]
        return found

    @property
    def system(self) -> str:
        """The system prompt."""
        return "\n".join(str(one["content"]) for one in self.messages if one["role"] in ("system", "developer"))

    @property
    def tools(self) -> Sequence[str]:
        """The names of the tools offered."""
        return [tool["function"]["name"] for tool in self.body.get("tools") or ()]

    @property
    def typed(self) -> bool:
        """Whether the answer must be JSON of a schema, other than by calling a tool."""
        return (self.body.get("response_format") or {}).get("type") == "json_schema"

    @property
    def streamed(self) -> bool:
        return bool(self.body.get("stream"))

    def usage(self, reply: Reply) -> tuple[int, int]:
        """Tokens of the prompt and of the reply; here a token is a word."""
        prompt = " ".join(str(one.get("content")) for one in self.messages)
        return len(prompt.split()), len((reply if isinstance(reply, str) else json.dumps(reply.arguments)).split())


class ModelApi(Protocol):
    """One API."""

    @property
    def path(self) -> str:
        """A pattern of the paths on which it is served."""
        ...

    def read(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """A request's body in the terms of OpenAI's API."""
        ...

    def whole(self, request: ChatRequest, reply: Reply) -> Mapping[str, Any]:
        """The body of an answer that isn't streamed."""
        ...

    def stream(self, request: ChatRequest, reply: Reply) -> tuple[Sequence[str], Sequence[str], Sequence[str]]:
        """The server-sent events of a streamed answer: its beginning, its pieces, and its end."""
        ...


def _pieces(text: str) -> list[str]:
    """A text in pieces, as a model produces it."""
    return re.findall(r"\s*\S+|\s+$", text) or [""]


def _event(data: Any, name: str | None = None) -> str:
    text = data if isinstance(data, str) else json.dumps(data)
    return f"event: {name}\ndata: {text}\n\n" if name else f"data: {text}\n\n"


class _ChatCompletions:
    path: Final = r"(/v1|/openai/v1)/chat/completions|/openai/deployments/[^/]+/chat/completions"

    def read(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        return body

    def whole(self, request: ChatRequest, reply: Reply) -> Mapping[str, Any]:
        if isinstance(reply, str):
            message: dict[str, Any] = {"role": "assistant", "content": reply}
        else:
            message = {"role": "assistant", "content": None, "tool_calls": [_tool_call(reply)]}
        choice = {"index": 0, "message": message, "finish_reason": _finish(reply)}
        return {**_head(request, "chat.completion"), "choices": [choice], "usage": _usage(request, reply)}

    def stream(self, request: ChatRequest, reply: Reply) -> tuple[Sequence[str], Sequence[str], Sequence[str]]:
        head = _head(request, "chat.completion.chunk")

        def chunk(delta: Mapping[str, Any], finish: str | None = None) -> str:
            return _event({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})

        ends = [chunk({}, _finish(reply))]
        if (request.body.get("stream_options") or {}).get("include_usage"):
            ends.append(_event({**head, "choices": [], "usage": _usage(request, reply)}))
        pieces = [chunk(delta) for delta in _deltas(reply)]
        return [chunk({"role": "assistant", "content": ""})], pieces, [*ends, _event("[DONE]")]


def _head(request: ChatRequest, kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "object": kind, "created": 1_790_000_000, "model": request.model}


def _finish(reply: Reply) -> str:
    return "stop" if isinstance(reply, str) else "tool_calls"


def _usage(request: ChatRequest, reply: Reply) -> dict[str, int]:
    asked, answered = request.usage(reply)
    return {"prompt_tokens": asked, "completion_tokens": answered, "total_tokens": asked + answered}


def _tool_call(reply: Call) -> dict[str, Any]:
    arguments = json.dumps(reply.arguments)
    return {"id": f"call_{reply.tool}", "type": "function", "function": {"name": reply.tool, "arguments": arguments}}


def _deltas(reply: Reply) -> Iterator[dict[str, Any]]:
    if isinstance(reply, str):
        yield from ({"content": piece} for piece in _pieces(reply))
        return
    call = _tool_call(reply)
    arguments = call["function"]["arguments"]
    yield {"tool_calls": [{"index": 0, **call, "function": {"name": reply.tool, "arguments": ""}}]}
    for piece in _pieces(arguments):
        yield {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}


class _Messages:
    path: Final = r"/v1/messages"

    def read(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        system = body.get("system") or ""
        text = system if isinstance(system, str) else "\n".join(part["text"] for part in system)
        messages: list[dict[str, Any]] = [{"role": "system", "content": text}]
        for message in body["messages"]:
            content = message["content"]
            parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
            messages += [_openai_message(message["role"], part) for part in parts]
        tools = [{"type": "function", "function": {"name": tool["name"]}} for tool in body.get("tools") or ()]
        known = {"model": body["model"], "stream": body.get("stream"), "messages": messages, "tools": tools}
        return {**known, "response_format": (body.get("output_config") or {}).get("format")}

    def whole(self, request: ChatRequest, reply: Reply) -> Mapping[str, Any]:
        asked, answered = request.usage(reply)
        block = _block(reply)
        if isinstance(reply, Call):
            block["input"] = reply.arguments
        else:
            block["text"] = reply
        message = self._message(request, asked)
        return {
            **message,
            "content": [block],
            "stop_reason": _stop(reply),
            "usage": {"input_tokens": asked, "output_tokens": answered},
        }

    def stream(self, request: ChatRequest, reply: Reply) -> tuple[Sequence[str], Sequence[str], Sequence[str]]:
        asked, answered = request.usage(reply)

        def event(kind: str, **fields: Any) -> str:
            return _event({"type": kind, **fields}, kind)

        def delta(piece: str) -> str:
            field = {"type": "text_delta", "text": piece}
            if isinstance(reply, Call):
                field = {"type": "input_json_delta", "partial_json": piece}
            return event("content_block_delta", index=0, delta=field)

        begins = [
            event("message_start", message=self._message(request, asked)),
            event("content_block_start", index=0, content_block=_block(reply)),
        ]
        text = reply if isinstance(reply, str) else json.dumps(reply.arguments)
        stop = {"stop_reason": _stop(reply), "stop_sequence": None}
        ends = [
            event("content_block_stop", index=0),
            event("message_delta", delta=stop, usage={"output_tokens": answered}),
            event("message_stop"),
        ]
        return begins, [delta(piece) for piece in _pieces(text)], ends

    @staticmethod
    def _message(request: ChatRequest, asked: int) -> dict[str, Any]:
        usage = {"input_tokens": asked, "output_tokens": 0}
        about = {"id": "msg_1", "type": "message", "role": "assistant", "model": request.model}
        return {**about, "content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}


def _block(reply: Reply) -> dict[str, Any]:
    if isinstance(reply, str):
        return {"type": "text", "text": ""}
    return {"type": "tool_use", "id": f"call_{reply.tool}", "name": reply.tool, "input": {}}


def _stop(reply: Reply) -> str:
    return "end_turn" if isinstance(reply, str) else "tool_use"


def _openai_message(role: str, part: Mapping[str, Any]) -> dict[str, Any]:
    match part["type"]:
        case "tool_use":
            call = {"id": part["id"], "function": {"name": part["name"], "arguments": json.dumps(part["input"])}}
            return {"role": role, "content": None, "tool_calls": [call]}
        case "tool_result":
            content = part.get("content") or ""
            text = content if isinstance(content, str) else "".join(one["text"] for one in content)
            return {"role": "tool", "tool_call_id": part["tool_use_id"], "content": text}
        case _:
            return {"role": role, "content": part["text"]}


class _Responses:
    path: Final = r"(/v1|/openai/v1)/responses"

    def read(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        system = {"role": "system", "content": body.get("instructions") or ""}
        tools = [{"type": "function", "function": {"name": tool["name"]}} for tool in body.get("tools") or ()]
        known = {"model": body["model"], "stream": body.get("stream"), "tools": tools}
        messages = [system, *map(_message_of_item, body["input"])]
        return {**known, "messages": messages, "response_format": (body.get("text") or {}).get("format")}

    def whole(self, request: ChatRequest, reply: Reply) -> Mapping[str, Any]:
        asked, answered = request.usage(reply)
        usage = {
            "input_tokens": asked,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": answered,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": asked + answered,
        }
        item = _item(reply, reply if isinstance(reply, str) else json.dumps(reply.arguments))
        return {**self._response(request, "completed"), "output": [item], "usage": usage}

    def stream(self, request: ChatRequest, reply: Reply) -> tuple[Sequence[str], Sequence[str], Sequence[str]]:
        number = count()
        text = reply if isinstance(reply, str) else json.dumps(reply.arguments)
        about = {"item_id": _item(reply)["id"], "output_index": 0}
        kind, whole = "response.function_call_arguments", {"arguments": text}
        if isinstance(reply, str):
            about |= {"content_index": 0, "logprobs": []}
            kind, whole = "response.output_text", {"text": text}

        def event(name: str, **fields: Any) -> str:
            return _event({"type": name, "sequence_number": next(number), **fields}, name)

        begins = [
            event("response.created", response=self._response(request, "in_progress")),
            event("response.output_item.added", output_index=0, item=_item(reply)),
        ]
        pieces = [event(f"{kind}.delta", **about, delta=piece) for piece in _pieces(text)]
        ends = [
            event(f"{kind}.done", **about, **whole),
            event("response.output_item.done", output_index=0, item=_item(reply, text)),
            event("response.completed", response=self.whole(request, reply)),
        ]
        return begins, pieces, ends

    @staticmethod
    def _response(request: ChatRequest, status: str) -> dict[str, Any]:
        about = {"id": "resp_1", "object": "response", "created_at": 1_790_000_000, "model": request.model}
        return {
            **about,
            "status": status,
            "output": [],
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
        }


def _item(reply: Reply, text: str | None = None) -> dict[str, Any]:
    """The output of a response; without `text`, as it begins."""
    status = "in_progress" if text is None else "completed"
    if isinstance(reply, Call):
        call = {"id": "fc_1", "type": "function_call", "call_id": f"call_{reply.tool}", "name": reply.tool}
        return {**call, "arguments": text or "", "status": status}
    content = [] if text is None else [{"type": "output_text", "text": text, "annotations": []}]
    return {"id": "msg_1", "type": "message", "role": "assistant", "status": status, "content": content}


def _message_of_item(item: Mapping[str, Any]) -> dict[str, Any]:
    match item.get("type", "message"):
        case "function_call":
            call = {"id": item["call_id"], "function": {"name": item["name"], "arguments": item["arguments"]}}
            return {"role": "assistant", "content": None, "tool_calls": [call]}
        case "function_call_output":
            return {"role": "tool", "tool_call_id": item["call_id"], "content": item["output"]}
        case _:
            content = item["content"]
            text = content if isinstance(content, str) else "".join(part["text"] for part in content)
            return {"role": item["role"], "content": text}


APIS: Final[Sequence[ModelApi]] = (_ChatCompletions(), _Responses(), _Messages())
