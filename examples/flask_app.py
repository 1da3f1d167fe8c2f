"""A Flask route that starts synchronous work in a thread and returns the URL of its plan's page at once.

flask --app examples/flask_app run --port 8002     # in another terminal: plancast serve
curl -X POST 127.0.0.1:8002/api/chat --json '{"message": "What sells on Mondays?"}'
"""

import os
import secrets
from concurrent.futures import ThreadPoolExecutor

from flask import Flask, request
from flask.typing import ResponseReturnValue

from plan_engine.adapters.progress import progress_callback

HUB = os.environ.get("PLANCAST_HUB", "http://127.0.0.1:8000")
app = Flask(__name__)
workers = ThreadPoolExecutor(4)


def work(plan_id: str, message: str) -> None:
    with progress_callback(plan_id, title=message) as report:
        report("intent_parsed", {"intent": "weather and sales"})
        report("insight_generated", {"text": "Umbrellas sell best on Mondays."})


@app.post("/api/chat")
def chat() -> ResponseReturnValue:
    plan_id = f"chat-{secrets.token_hex(6)}"
    workers.submit(work, plan_id, request.get_json()["message"])
    return {"type": "task_started", "task_id": plan_id, "page": f"{HUB}/plan/{plan_id}"}, 202
