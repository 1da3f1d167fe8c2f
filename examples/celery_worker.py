"""A Celery task that reports its progress as a plan. The broker is a directory, so no server is needed.

celery -A examples.celery_worker worker &     # in the root of the repository
python -m examples.celery_worker "What sells on Mondays?"
"""

import os
import secrets
import sys
import tempfile
from pathlib import Path

from celery import Celery  # type: ignore[import-untyped]

from plan_engine.adapters.progress import progress_callback

queue = Path(os.environ.get("QUEUE_DIRECTORY") or Path(tempfile.gettempdir()) / "plancast-celery").absolute()
for folder in ("messages", "control"):
    (queue / folder).mkdir(parents=True, exist_ok=True)
folders = {
    "data_folder_in": queue / "messages",
    "data_folder_out": queue / "messages",
    "control_folder": queue / "control",
}
app = Celery("examples.celery_worker", broker="filesystem://", broker_connection_retry_on_startup=True)
app.conf.broker_transport_options = {name: str(path) for name, path in folders.items()}


@app.task(name="insight", ignore_result=True)  # type: ignore[untyped-decorator]
def insight(plan_id: str, question: str) -> None:
    with progress_callback(plan_id, title=question) as report:
        report("intent_parsed", {"intent": "weather and sales"})
        report("insight_generated", {"text": "Umbrellas sell best on Mondays."})


if __name__ == "__main__":
    plan_id = f"insight-{secrets.token_hex(6)}"
    insight.delay(plan_id, " ".join(sys.argv[1:]) or "What sells on Mondays?")
    print(plan_id)
