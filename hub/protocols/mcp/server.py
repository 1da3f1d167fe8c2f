"""The MCP server of a hub: its tools and resources in the types of the `mcp` package, for both eras of the protocol."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from importlib.metadata import version
from typing import Any, Final, NamedTuple, cast

from fastapi import Request
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel.server import Server
from mcp.shared.exceptions import MCPError
from mcp.types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    InputRequiredResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListToolsResult,
    PaginatedRequestParams,
    ReadResourceRequestParams,
    ReadResourceResult,
    Resource,
    ResourceTemplate,
    TextContent,
    TextResourceContents,
    Tool,
    ToolAnnotations,
)
from pydantic import BaseModel, ValidationError

from broadcasters.snapshot import encode
from hub.access.principal import Principal
from hub.api.plans import PlanList
from hub.api.problems import problem_of
from hub.node import Hub
from hub.protocols.mcp.elicitation import elicits, reporter_of, settled
from hub.protocols.mcp.tools import (
    AnswerQuestion,
    AnswerTaken,
    CancelPlan,
    CancelSent,
    FormAnswer,
    ListPlans,
    ListTemplates,
    McpCall,
    NewPlan,
    PlanFollowed,
    PlanTools,
    QuestionsAsked,
    StartedPlan,
    TemplateList,
    WatchPlan,
)
from hub.protocols.mcp.watch import Report

__all__ = ["INSTRUCTIONS", "PRINCIPAL", "server_of"]

PRINCIPAL: Final = "plancast.principal"
"""Where the scope of a request has its principal."""
RESOURCE: Final = "plancast://plans/"
INSTRUCTIONS: Final = (
    "Plans are long pieces of work by agents. start_plan returns at once; then call watch_plan, again and again with the "
    "offset that it returned, until the plan has ended. A plan goes on whether or not it is watched. When a plan asks a "
    "question, a person must answer it."
)

Ctx = ServerRequestContext[Any, Any]
Handle = Callable[[PlanTools, McpCall, Any], Awaitable[BaseModel | QuestionsAsked]]


class _PlanTool(NamedTuple):
    """A tool: how it is listed, and the method that serves it."""

    about: str
    arguments: type[BaseModel]
    result: type[BaseModel]
    handle: Handle
    reads: bool = True
    destroys: bool = False


TOOLS: Final[Mapping[str, _PlanTool]] = {
    "list_templates": _PlanTool(
        "List the templates of plans that can be started, each with the schema of its input.",
        ListTemplates,
        TemplateList,
        PlanTools.templates,
    ),
    "start_plan": _PlanTool(
        "Start a plan from a template. Returns the plan's id at once; follow it with watch_plan.",
        NewPlan,
        StartedPlan,
        PlanTools.start,
        reads=False,
    ),
    "watch_plan": _PlanTool(
        "Follow a plan until it ends or asks a question, or until `wait` seconds are over. Reports progress. Call it again "
        "with the returned offset as `after` to go on; nothing is missed in between.",
        WatchPlan,
        PlanFollowed,
        PlanTools.watch,
    ),
    "answer_question": _PlanTool(
        "Answer a question of a plan with what a person said. The first answer counts.",
        AnswerQuestion,
        AnswerTaken,
        PlanTools.answer,
        reads=False,
    ),
    "cancel_plan": _PlanTool(
        "Cancel a plan that runs. (To stop watching a plan cancels nothing.)",
        CancelPlan,
        CancelSent,
        PlanTools.cancel,
        reads=False,
        destroys=True,
    ),
    "list_plans": _PlanTool(
        "List the plans that you may read, the most recently active first.", ListPlans, PlanList, PlanTools.plans
    ),
}


def server_of(hub: Hub) -> Server[Any]:
    """The server. The scope of each request must have its `PRINCIPAL`."""
    served = _Served(hub)
    return Server(
        "plancast",
        title="Plancast",
        version=version("plancast"),
        instructions=INSTRUCTIONS,
        on_list_tools=served.list_tools,
        on_call_tool=served.call_tool,
        on_list_resources=served.list_resources,
        on_list_resource_templates=served.list_resource_templates,
        on_read_resource=served.read_resource,
    )


class _Served:
    """The server's handlers."""

    def __init__(self, hub: Hub) -> None:
        self._tools = PlanTools(hub)

    async def list_tools(self, ctx: Ctx, params: PaginatedRequestParams | None) -> ListToolsResult:  # noqa: ARG002
        return ListToolsResult(tools=[_listed(name, tool) for name, tool in TOOLS.items()])

    async def call_tool(self, ctx: Ctx, params: CallToolRequestParams) -> CallToolResult | InputRequiredResult:
        report = reporter_of(ctx)

        async def call(params: CallToolRequestParams) -> CallToolResult | InputRequiredResult:
            return await self._call(_call_of(ctx, params, report), params)

        return await settled(ctx, params, call)

    async def _call(self, call: McpCall, params: CallToolRequestParams) -> CallToolResult | InputRequiredResult:
        tool = TOOLS.get(params.name)
        if tool is None:
            raise MCPError(INVALID_PARAMS, f"there is no tool {params.name!r:.80}; the tools are {', '.join(TOOLS)}")
        try:
            given = tool.arguments.model_validate(params.arguments or {})
            result = await tool.handle(self._tools, call, given)
        except ValidationError as error:
            return _failed(_faults_in(error))
        except Exception as error:
            problem = problem_of(error)
            if problem is None:
                raise
            return _failed(str(problem.detail))
        return _required(result) if isinstance(result, QuestionsAsked) else _succeeded(result)

    async def list_resources(self, ctx: Ctx, params: PaginatedRequestParams | None) -> ListResourcesResult:
        given = ListPlans(cursor=params.cursor if params else None, limit=100)
        try:
            found = await self._tools.plans(_call_of(ctx, None, reporter_of(ctx)), given)
        except Exception as error:
            raise _refused(error) from None
        resources = [
            Resource(uri=RESOURCE + plan.plan_id, name=plan.title or plan.plan_id, mime_type="application/json")
            for plan in found.plans
        ]
        return ListResourcesResult(resources=resources, next_cursor=found.cursor)

    async def list_resource_templates(
        self,
        ctx: Ctx,  # noqa: ARG002
        params: PaginatedRequestParams | None,  # noqa: ARG002
    ) -> ListResourceTemplatesResult:
        about = "The snapshot of a plan: its steps, messages, tool calls, questions, artifacts and result."
        template = ResourceTemplate(
            uri_template=RESOURCE + "{plan_id}", name="plan", description=about, mime_type="application/json"
        )
        return ListResourceTemplatesResult(resource_templates=[template])

    async def read_resource(self, ctx: Ctx, params: ReadResourceRequestParams) -> ReadResourceResult:
        uri = str(params.uri)
        if not uri.startswith(RESOURCE):
            raise MCPError(INVALID_PARAMS, f"there is no resource {uri!r:.80}; expected {RESOURCE}{{plan_id}}")
        try:
            snapshot = await self._tools.snapshot(_principal(ctx), uri.removeprefix(RESOURCE))
        except Exception as error:
            raise _refused(error) from None
        contents = TextResourceContents(uri=uri, mime_type="application/json", text=encode(snapshot).decode())
        return ReadResourceResult(contents=[contents])


def _listed(name: str, tool: _PlanTool) -> Tool:
    return Tool(
        name=name,
        description=tool.about,
        input_schema=tool.arguments.model_json_schema(),
        output_schema=tool.result.model_json_schema(),
        annotations=ToolAnnotations(
            read_only_hint=tool.reads, destructive_hint=tool.destroys, idempotent_hint=tool.reads, open_world_hint=False
        ),
    )


def _request(ctx: Ctx) -> Request:
    return cast("Request", ctx.request)


def _principal(ctx: Ctx) -> Principal:
    principal: Principal = _request(ctx).scope[PRINCIPAL]
    return principal


def _call_of(ctx: Ctx, params: CallToolRequestParams | None, report: Report) -> McpCall:
    state = params.request_state if params else None
    known = state is not None and state.isascii() and state.isdecimal() and len(state) <= 16
    answers = (params.input_responses if params else None) or {}
    forms = {name: FormAnswer(given.content if given.action == "accept" else None)
             for name, given in answers.items() if isinstance(given, ElicitResult)}  # fmt: skip
    at = int(state) if known and state is not None else None
    return McpCall(_request(ctx), _principal(ctx), report, elicits(ctx), at, forms)


def _required(questions: QuestionsAsked) -> InputRequiredResult:
    requests = {
        name: ElicitRequest(params=ElicitRequestFormParams(message=prompt, requested_schema=form.schema))
        for name, (prompt, form) in questions.forms.items()
    }
    return InputRequiredResult(input_requests={**requests}, request_state=str(questions.state))


def _succeeded(result: BaseModel) -> CallToolResult:
    fields = result.model_dump(mode="json")
    text = json.dumps(fields, ensure_ascii=False)
    return CallToolResult(content=[TextContent(text=text)], structured_content=fields)


def _failed(text: str) -> CallToolResult:
    return CallToolResult(content=[TextContent(text=text)], is_error=True)


def _faults_in(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())


def _refused(error: Exception) -> Exception:
    problem = problem_of(error)
    return error if problem is None else MCPError(INVALID_PARAMS, str(problem.detail))
