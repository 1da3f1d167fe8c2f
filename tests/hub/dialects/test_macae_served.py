"""MACAE's page from end to end: a real hub with its engine, and the calls that the page makes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from broadcasters import Broadcaster
from tests.faults.credentials import token
from tests.servers.hub import HubServer

DEADLINE_S = 60.0
ORIGIN = "http://localhost:3000"
TASK = "Please onboard our new employee Jessica Smith"
QUESTION = "By when do you need this?"
TEAM = {
    "id": "1",
    "team_id": "team-1",
    "name": "Onboarding",
    "description": "Brings people on board",
    "status": "visible",
    "agents": [
        {
            "input_key": "hr",
            "type": "",
            "name": "HRHelper",
            "deployment_name": "gpt",
            "description": "Prepares the week",
        },
        {"input_key": "it", "type": "", "name": "TechSupport", "deployment_name": "gpt", "use_rag": False},
    ],
    "starting_tasks": [{"id": "task-1", "name": "Onboard", "prompt": TASK, "logo": ""}],
}


class MacaePage:
    """A tab of a user: sends what the page sends, with its header, and keeps what its socket receives."""

    def __init__(self, hub: HubServer, user: str, headers: Mapping[str, str] | None = None) -> None:
        self.hub = hub
        self.user = user
        self.headers = {"Origin": ORIGIN, "x-ms-client-principal-id": user, **(headers or {})}
        self.http = httpx.AsyncClient(base_url=f"{hub.url}/api", headers=self.headers, timeout=DEADLINE_S)
        self.frames: list[tuple[str, Any]] = []

    async def __aenter__(self) -> MacaePage:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()

    async def get(self, path: str, status: int = 200, **params: Any) -> Any:
        return self._checked(await self.http.get(path, params=params), status)

    async def post(self, path: str, body: Any, status: int = 200) -> Any:
        return self._checked(await self.http.post(path, json=body), status)

    def _checked(self, response: httpx.Response, status: int) -> Any:
        assert response.status_code == status, response.text
        found = response.json()
        if status >= 400:
            assert set(found) == {"detail"}
        return found

    async def upload(self, team: Any = TEAM, status: int = 200) -> Any:
        content = team if isinstance(team, bytes) else json.dumps(team).encode()
        files = {"file": ("team.json", content, "application/json")}
        return self._checked(await self.http.post("/v4/upload_team_config", files=files), status)

    async def start(self, session: str = "sid_1", task: str = TASK, **fields: Any) -> str:
        body = {"session_id": session, "description": task, **fields}
        found = await self.post("/v4/process_request", body)
        assert set(found) == {"status", "session_id", "plan_id"}
        return str(found["plan_id"])

    async def plan(self, plan_id: str) -> Any:
        return await self.get("/v4/plan", plan_id=plan_id)

    def socket(self, plan_id: str, **options: Any) -> connect:
        url = f"{self.hub.url.replace('http', 'ws')}/api/v4/socket/{plan_id}?user_id={self.user}"
        headers = {name: value for name, value in self.headers.items() if name == "Authorization"}
        return connect(url, origin=options.pop("origin", ORIGIN), additional_headers=headers, **options)

    async def until(self, socket: ClientConnection, kind: str) -> Any:
        """The data of the next frame of this type."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                frame = json.loads(await socket.recv())
                assert set(frame) == {"type", "data"}
                self.frames.append((frame["type"], frame["data"]))
                if frame["type"] == kind:
                    return frame["data"]

    async def approve(self, plan_id: str, m_plan_id: str, *, approved: bool = True, status: int = 200) -> Any:
        body = {"m_plan_id": m_plan_id, "plan_id": plan_id, "approved": approved, "feedback": "Plan approved by user"}
        return await self.post("/v4/plan_approval", body, status)

    async def clarify(self, plan_id: str, request_id: str, answer: str, status: int = 200) -> Any:
        body = {"request_id": request_id, "answer": answer, "plan_id": plan_id, "m_plan_id": ""}
        return await self.post("/v4/user_clarification", body, status)

    def said(self, kind: str = "agent_message") -> list[str]:
        return [data["content"] for one, data in self.frames if one == kind]


def new_user(name: str) -> str:
    """Each test has a user of its own, since they share a hub."""
    return f"{name}-0000"


@pytest.fixture
async def page(hub: HubServer, request: pytest.FixtureRequest) -> AsyncIterator[MacaePage]:
    async with MacaePage(hub, new_user(request.node.name[:40])) as page:
        yield page


async def test_the_whole_flow_as_the_page_makes_it(page: MacaePage) -> None:
    """P-MAC-4 to P-MAC-9: every call of the page, from the first visit to the list of completed plans."""
    assert (await page.post("/user_browser_language", {"language": "en-GB"}))["status"]
    assert await page.get("/v4/team_configs") == []
    assert (await page.get("/v4/init_team", team_switched="false"))["requires_team_upload"] is True
    uploaded = await page.upload()
    assert (uploaded["status"], uploaded["name"]) == ("success", "Onboarding")
    assert uploaded["team_id"] not in ("1", "team-1")
    assert (await page.post("/v4/select_team", {"team_id": uploaded["team_id"]}))["agents_count"] == 2
    ready = await page.get("/v4/init_team", team_switched="true")
    assert (ready["status"], ready["team_id"]) == ("Request started successfully", uploaded["team_id"])
    (team,) = await page.get("/v4/team_configs")
    assert team == uploaded["team"] == ready["team"]
    assert team["starting_tasks"][0]["prompt"] == TASK
    assert {"input_key", "type", "name", "deployment_name", "system_message", "description"} <= set(team["agents"][0])

    plan_id = await page.start(team_id=team["team_id"])
    assert plan_id == f"macae:{page.user}:sid_1"
    found = await page.plan(plan_id)
    assert (found["plan"]["overall_status"], found["plan"]["initial_goal"]) == ("in_progress", TASK)
    assert found["team"]["name"] == "Onboarding"
    async with page.socket(plan_id) as socket:
        asked = await page.until(socket, "plan_approval_request")
        assert [step["agent"] for step in asked["plan"]["steps"]] == ["HRHelper", "TechSupport"]
        assert page.said() == []  # nothing is done before the approval
        assert await page.approve(plan_id, asked["plan"]["id"]) == {"status": "approval recorded"}
        await socket.send(json.dumps({"type": "ping"}))
        question = (await page.until(socket, "user_clarification_request"))["data"]
        assert question["questions"] == QUESTION
        answered = await page.clarify(plan_id, question["request_id"], "by Friday")
        assert answered == {"status": "clarification recorded"}
        message = await page.until(socket, "agent_message")
        heard = {"plan_id": plan_id, "agent": message["agent_name"], "content": message["content"], "is_final": False}
        assert await page.post("/v4/agent_message", heard) == {"status": "message recorded"}
        final = (await page.until(socket, "final_result_message"))["data"]
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
    assert (final["status"], closed.value.rcvd and closed.value.rcvd.code) == ("completed", 1000)
    assert len(page.said()) == 2
    assert "You said “by Friday”" in page.said()[0]

    found = await page.plan(plan_id)
    assert found["plan"]["overall_status"] == "completed"
    chat = [(one["agent"], one["content"]) for one in found["messages"]]
    assert chat[:2] == [("Group_Chat_Manager", QUESTION), ("human", "by Friday")]
    assert [content for _, content in chat[2:]] == [*page.said(), final["content"]]
    assert found["streaming_message"].endswith("".join(page.said("agent_message_streaming")))
    (listed,) = await page.get("/v4/plans")
    assert (listed["id"], listed["session_id"], listed["overall_status"]) == (plan_id, "sid_1", "completed")
    await page.upload({**TEAM, "name": "Second"})
    assert await page.get("/v4/plans") == []  # those of the current team


async def test_reloads_and_a_second_tab(page: MacaePage) -> None:
    """P-MAC-6, P-MAC-7: each tab continues where it got the plan, and is sent what is open again."""
    plan_id = await page.start()
    async with page.socket(plan_id) as socket:
        first = await page.until(socket, "plan_approval_request")
    found = await page.plan(plan_id)  # a reload before the approval
    assert found["plan"]["overall_status"] == "in_progress"
    assert found["m_plan"]["id"] == first["plan"]["id"]
    other = MacaePage(page.hub, page.user)
    await other.plan(plan_id)
    async with page.socket(plan_id) as socket, other.socket(plan_id) as second:
        assert await page.until(socket, "plan_approval_request") == first
        assert await other.until(second, "plan_approval_request") == first
        await page.approve(plan_id, first["plan"]["id"])
        await other.approve(plan_id, first["plan"]["id"])  # approving twice is no error
        await other.until(second, "user_clarification_request")
    found = await page.plan(plan_id)  # a reload after it
    assert found["plan"]["overall_status"] == "approved"
    assert found["messages"] == []  # the question comes with the socket
    tab = MacaePage(page.hub, page.user)
    async with tab.socket(plan_id) as socket:
        question = (await tab.until(socket, "user_clarification_request"))["data"]
        assert tab.frames[0][0] == "user_clarification_request"
        await tab.clarify(plan_id, question["request_id"], "by Friday")
        await tab.clarify(plan_id, question["request_id"], "by Monday")  # the first answer counts, and it is no error
        await tab.until(socket, "final_result_message")
    final = await page.plan(plan_id)
    assert "by Monday" not in json.dumps(final)
    assert len(final["messages"]) == len(tab.said()) + 3  # question, answer and result
    await other.http.aclose()
    await tab.http.aclose()


async def test_a_page_whose_connection_was_cut_receives_what_it_missed(page: MacaePage) -> None:
    """P-MAC-7: it reconnects without getting the plan again."""
    plan_id = await page.start()
    await page.plan(plan_id)
    async with page.socket(plan_id) as socket:
        asked = await page.until(socket, "plan_approval_request")
        await page.approve(plan_id, asked["plan"]["id"])
        question = (await page.until(socket, "user_clarification_request"))["data"]
        socket.transport.abort()
    async with asyncio.timeout(DEADLINE_S):  # until the hub has noticed
        while page.hub.metric("plancast_connections", transport="asgi"):
            await asyncio.sleep(0.05)
    await page.clarify(plan_id, question["request_id"], "by Friday")
    async with asyncio.timeout(DEADLINE_S):
        while (await page.http.get(f"/plans/{plan_id}")).json()["status"] != "completed":
            await asyncio.sleep(0.1)
    page.frames.clear()
    async with page.socket(plan_id) as socket:
        final = await page.until(socket, "final_result_message")
    found = [one["content"] for one in (await page.plan(plan_id))["messages"]]
    assert found[2:] == [*page.said(), final["data"]["content"]]


async def test_a_question_is_answered_over_the_plans_own_protocol(page: MacaePage) -> None:
    """P-MAC-8: and the page shows that answer."""
    plan_id = await page.start()
    async with page.socket(plan_id) as socket:
        asked = await page.until(socket, "plan_approval_request")
        inputs = f"/plans/{plan_id}/inputs"
        answer = await page.http.post(f"{inputs}/{asked['plan']['id']}", json={"answer": "yes"})
        assert answer.status_code == 200, answer.text
        question = (await page.until(socket, "user_clarification_request"))["data"]
        await page.http.post(f"{inputs}/{question['request_id']}", json={"answer": "on Monday"})
        human = await page.until(socket, "agent_message")
        assert (human["agent_name"], human["content"]) == ("human", "on Monday")
        await page.until(socket, "final_result_message")


async def test_a_plan_that_is_not_approved_is_cancelled(page: MacaePage) -> None:
    """P-MAC-8."""
    plan_id = await page.start()
    async with page.socket(plan_id) as socket:
        asked = await page.until(socket, "plan_approval_request")
        await page.approve(plan_id, asked["plan"]["id"], approved=False)
        final = (await page.until(socket, "final_result_message"))["data"]
    assert final["status"] == "canceled"
    found = await page.plan(plan_id)
    assert found["plan"]["overall_status"] == "canceled"
    await page.approve(plan_id, asked["plan"]["id"], approved=False)  # again, by another tab that is left
    async with page.socket(plan_id) as socket:
        assert (await page.until(socket, "final_result_message"))["data"]["status"] == "canceled"
    assert await page.get("/v4/plans") == []


async def test_declining_a_plan_that_nothing_can_stop_says_so(page: MacaePage) -> None:
    async with Broadcaster(page.hub.url) as publisher:
        await publisher.send_plan_update("foreign-1")
    declined = {"plan_id": "foreign-1", "m_plan_id": "foreign-1", "approved": False}
    assert "nothing that can be stopped works on the plan" in (await page.post("/v4/plan_approval", declined))["status"]


async def test_leaving_cancels_nothing_and_plans_of_other_templates_can_be_opened(page: MacaePage) -> None:
    """P-MAC-1."""
    body = {
        "template": "business_operations",
        "input": {"request": "Sales are uneven"},
        "plan_id": f"p-{page.user[:20]}",
    }
    assert (await page.http.post("/plans", json=body)).status_code == 202
    plan_id = body["plan_id"]
    found = await page.plan(str(plan_id))
    assert found["plan"]["overall_status"] == "approved"
    assert found["team"] is None
    async with page.socket(str(plan_id)) as socket:
        await page.until(socket, "agent_message_streaming")
    await page.plan(str(plan_id))
    async with page.socket(str(plan_id)) as socket:
        asked = await page.until(socket, "plan_approval_request")
        assert "Ask for approval" in [step["action"] for step in asked["plan"]["steps"]]
        await page.approve(str(plan_id), asked["plan"]["id"])
        await page.until(socket, "final_result_message")


async def test_a_task_without_a_team_is_done_by_the_templates_own(page: MacaePage) -> None:
    plan_id = await page.start(task="Write two pages by 2026-12-24")
    again = await page.start(task="Something else")
    assert again == plan_id  # the same session starts nothing new
    async with page.socket(plan_id) as socket:
        asked = await page.until(socket, "plan_approval_request")
    assert asked["plan"]["team"] == ["Researcher", "Writer", "Reviewer"]
    assert "two pages" in asked["plan"]["user_request"]
    await page.approve(plan_id, asked["plan"]["id"], approved=False)
    longest = await page.start("sid_2", "1" * 5000)  # the page allows as many characters
    await page.approve(longest, "", approved=False)


# -- teams


async def test_teams_are_the_users_own(page: MacaePage) -> None:
    """P-MAC-9."""
    first, second = await page.upload(), await page.upload({**TEAM, "name": "Second"})
    assert [team["name"] for team in await page.get("/v4/team_configs")] == ["Second", "Onboarding"]
    await page.post("/v4/select_team", {"team_id": first["team_id"]})
    assert (await page.get("/v4/init_team"))["team_id"] == first["team_id"]
    async with MacaePage(page.hub, "somebody-else") as other:
        assert await other.get("/v4/team_configs") == []
        assert (await other.http.delete(f"/v4/team_configs/{first['team_id']}")).status_code == 404
        await other.post("/v4/select_team", {"team_id": first["team_id"]}, 404)
        await other.post("/v4/process_request", {"description": TASK, "team_id": first["team_id"]}, 404)
    gone = await page.http.delete(f"/v4/team_configs/{first['team_id']}")
    assert gone.status_code == 200
    assert [team["team_id"] for team in await page.get("/v4/team_configs")] == [second["team_id"]]
    assert (await page.http.delete(f"/v4/team_configs/{first['team_id']}")).status_code == 404
    plans = (await page.http.get("/plans", params={"limit": 500})).json()["plans"]
    assert not [plan for plan in plans if plan["plan_id"].startswith("~")]  # teams are in no list of plans


@pytest.mark.parametrize(
    ("team", "problem"),
    [
        (b"{", "not valid JSON"),
        (b'{"name": "x"}', "agents"),
        ({**TEAM, "agents": []}, "agents"),
        ({**TEAM, "agents": [{"name": f"a{n}"} for n in range(7)]}, "at most 6"),
        ({**TEAM, "agents": [{"name": "a"}, {"name": "a"}]}, "the same name"),
        ({**TEAM, "status": "secret"}, "status"),
        ({**TEAM, "starting_tasks": [{"name": "x"}]}, "starting_tasks.0.prompt"),
        ({**TEAM, "plan": "x" * 150_000}, "at most 131,072"),
    ],
)
async def test_a_team_that_cannot_be_used_is_refused(page: MacaePage, team: Any, problem: str) -> None:
    """P-MAC-9: with a sentence that the page shows."""
    assert problem in (await page.upload(team, 400))["detail"]
    assert await page.get("/v4/team_configs") == []


async def test_a_form_without_a_file_is_refused(page: MacaePage) -> None:
    requests: list[dict[str, Any]] = [{"files": {"other": b"{}"}}, {"content": b"x"}, {"json": {}}]
    for request in requests:
        response = await page.http.post("/v4/upload_team_config", **request)
        assert (response.status_code, "field `file`" in response.json()["detail"]) == (400, True)


# -- bad input and rights


async def test_unknown_plans_and_questions_are_not_found(page: MacaePage) -> None:
    await page.get("/v4/plan", 404, plan_id="macae:nobody:1")
    await page.get("/v4/plan", 422, plan_id="no plan/id")
    await page.get("/v4/plan", 422)
    await page.approve("macae:nobody:1", "x", status=404)
    await page.clarify("macae:nobody:1", "x", "y", 404)
    plan_id = await page.start()
    await page.approve(plan_id, "not asked", status=404)
    await page.clarify(plan_id, "not asked", "y", 404)
    await page.post("/v4/plan_approval", {"plan_id": plan_id}, 422)
    await page.post("/v4/process_request", {"description": " "}, 422)
    await page.post("/v4/process_request", {"description": TASK, "team_id": "none"}, 404)
    await page.post("/v4/select_team", {"team_id": "none"}, 404)
    await page.approve(plan_id, "", approved=False)


async def test_a_page_may_call_from_its_own_origin(page: MacaePage) -> None:
    headers = {
        "Access-Control-Request-Method": "DELETE",
        "Access-Control-Request-Headers": "authorization,x-ms-client-principal-id",
    }
    response = await page.http.options("/v4/team_configs/x", headers=headers)
    assert response.status_code == 200, response.text
    assert response.headers["access-control-allow-origin"] == ORIGIN
    async with MacaePage(page.hub, page.user, {"Origin": "https://elsewhere.example"}) as other:
        await other.get("/v4/team_configs", 403)


def mine(user: str, *verbs: str) -> dict[str, list[str]]:
    return {f"macae:{user}:*": [*verbs]}


ALL = ("read", "start", "input", "signal")


async def test_with_tokens_the_subject_is_the_user(asking: HubServer) -> None:
    """P-MAC-2: whatever the header says; and each call has its right."""
    bearer = {"Authorization": f"Bearer {token(mine('ada', *ALL), subject='ada')}", "Origin": asking.url}
    async with MacaePage(asking, "mallory", bearer) as ada:
        await ada.upload()
        plan_id = await ada.start()
        assert plan_id == "macae:ada:sid_1"
        await ada.plan(plan_id)
        async with ada.socket(plan_id, origin=asking.url) as socket:
            asked = await ada.until(socket, "plan_approval_request")
        reader = {"Authorization": f"Bearer {token(mine('ada', 'read'), subject='ada')}", "Origin": asking.url}
        async with MacaePage(asking, "ada", reader) as tab:
            assert len(await tab.get("/v4/team_configs")) == 1
            await tab.plan(plan_id)
            await tab.upload(status=403)
            await tab.post("/v4/process_request", {"description": TASK}, 403)
            await tab.approve(plan_id, asked["plan"]["id"], status=403)
            await tab.approve(plan_id, asked["plan"]["id"], approved=False, status=403)
        await ada.approve(plan_id, asked["plan"]["id"], approved=False)


async def test_a_foreign_plan_is_refused(asking: HubServer) -> None:
    """P-MAC-10: a socket with an `error_message`, after which the page does not reconnect."""
    bearer = {"Authorization": f"Bearer {token(mine('bob', *ALL), subject='bob')}", "Origin": asking.url}
    async with MacaePage(asking, "ada", bearer) as bob:
        await bob.get("/v4/plan", 403, plan_id="macae:ada:sid_1")
        async with bob.socket("macae:ada:sid_1", origin=asking.url) as socket:
            refused = await bob.until(socket, "error_message")
            assert refused["status"] == "error"
            with pytest.raises(ConnectionClosed) as closed:
                await socket.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1000


async def test_without_a_token_the_handshake_is_refused(asking: HubServer) -> None:
    """P-MAC-10: a page whose socket opened and closed again would reconnect every second."""
    async with MacaePage(asking, "ada") as page:
        await page.http.get("/v4/team_configs", headers={"Origin": asking.url})
        with pytest.raises(InvalidStatus) as refused:
            async with page.socket("macae:ada:sid_1", origin=asking.url):
                pass
    assert refused.value.response.status_code == 403


async def test_behind_a_proxy_the_header_names_the_user_and_confines_to_their_plans(asking: HubServer) -> None:
    """P-MAC-2: the proxy's token may be for all users."""
    proxy = {"Authorization": f"Bearer {token({'macae:*': [*ALL]}, subject='proxy')}", "Origin": asking.url}
    forwarded = {**proxy, "X-Forwarded-For": "203.0.113.9"}
    async with MacaePage(asking, "grace", forwarded) as grace, MacaePage(asking, "henry", forwarded) as henry:
        plan_id = await grace.start()
        assert plan_id == "macae:grace:sid_1"
        await grace.plan(plan_id)
        await henry.get("/v4/plan", 403, plan_id=plan_id)
        await henry.approve(plan_id, "x", approved=False, status=403)
        await grace.approve(plan_id, "x", approved=False)
    async with MacaePage(asking, "grace", proxy) as direct:  # not forwarded: the token's subject
        assert await direct.start() == "macae:proxy:sid_1"
    async with MacaePage(asking, "x" * 65, forwarded) as long:
        await long.get("/v4/team_configs", 422)
