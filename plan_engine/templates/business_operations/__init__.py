"""A Data Analyst and a Business Advisor work on a request about the shop, side by side, and ask before they act.

Offline, the first look at the figures fails, so that people can see a plan try again.
"""

from plan_engine.templates.business_operations.steps import Request, business_operations

__all__ = ["Request", "business_operations"]
