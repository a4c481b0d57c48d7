"""``spec-envs mcp-proxy``: stands in front of any MCP server, and makes a client's likely next reads ahead of time."""

from spec_envs.integrations.mcp_proxy.config import ProxyConfig, ServerConfig, read_config, server_name
from spec_envs.integrations.mcp_proxy.serve import serve_http, serve_stdio

__all__ = ["ProxyConfig", "ServerConfig", "read_config", "serve_http", "serve_stdio", "server_name"]
