from tests.hub.hubs import client, development_hub, plan_id, server

__all__ = ["client", "development_hub", "plan_id", "server"]
