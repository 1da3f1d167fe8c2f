"""The current front end of Microsoft's Multi-Agent Custom Automation Engine (MACAE), with the template `team`.

Ids: a session's plan is `macae:{user}:{session}` (escaped by `plan_id_of`); any other plan can be opened by its id, too.
The page first gets a plan (`GET /api/v4/plan`) and then follows it on its socket, which names no position: places.py keeps
those. See docs/dialects/macae.md.
"""

from hub.dialects.macae.routes import router

__all__ = ["router"]
