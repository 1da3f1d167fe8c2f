"""MCP at `/mcp`: plans as tools and resources, for hosts of language models.

The modules that import the `mcp` package, an extra of its own, are imported with the first request (routes.py).
"""
