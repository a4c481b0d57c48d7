"""The files to which a session appends: recorded messages, and the trace."""

from __future__ import annotations

import json
import os
import time
import uuid
from pathlib import Path
from typing import Any

from spec_envs.errors import InvalidConfiguration
from spec_envs.integrations.mcp_proxy.config import ProxyConfig
from spec_envs.integrations.mcp_proxy.lines import Message, note
from spec_envs.integrations.mcp_proxy.routes import tool_of
from spec_envs.wrappers.tools.rules import ToolRules


class JsonLines:
    """A file to which JSON data are appended, a line each; other sessions may append to the same file.

    Args:
        path: The file, which only the user may read if it is new.

    Raises:
        InvalidConfiguration: The file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        except OSError as error:
            raise InvalidConfiguration(f"{path} cannot be written: {error}") from None
        self._is_whole = True

    def append(self, data: Any) -> None:
        """Append ``data``. After a failure, which is noted, nothing more is appended; nobody else is hindered."""
        if not self._is_whole:
            return
        try:
            line = json.dumps(data).encode() + b"\n"
            self._is_whole = os.write(self._descriptor, line) == len(line)
            why = "the disk is full"
        except (OSError, ValueError, TypeError, RecursionError) as error:
            self._is_whole, why = False, str(error)
        if not self._is_whole:
            note(f"{self._path} cannot be written, and nothing more is written to it: {why}")

    def close(self) -> None:
        """End the file."""
        os.close(self._descriptor)


class Recorder:
    """Records the messages of a session, for ``spec-envs mcp-proxy learn``."""

    def __init__(self, config: ProxyConfig, path: Path) -> None:
        self._file = JsonLines(path)
        self._servers = [server.name for server in config.servers]
        self._rules = ToolRules(config.rules)
        self._private: set[str] = set()  # the ids of private calls under way
        self._session = uuid.uuid4().hex[:8]
        self._append("proxy", {"servers": self._servers})

    def _append(self, source: str, message: Message, *, ready: bool = False) -> None:
        entry = {"at": time.time(), "session": self._session, "from": source, "message": message}
        self._file.append({**entry, "ready": True} if ready else entry)

    def record(self, source: str, message: Message, *, ready: bool = False) -> None:
        """Record a message of the client, or of a server, unless it belongs to a call of a private tool.

        An answer is ``ready`` if it was there, or under way, when the client asked: then the time that the client has
        waited is not that of the tool.
        """
        if not message:
            return
        number, params = json.dumps(message.get("id")), message.get("params")
        if message.get("method") == "tools/call" and isinstance(params, dict):
            if self._rules[tool_of(self._servers, params.get("name"))].private:
                self._private.add(number)
                return
        elif source == "server" and "method" not in message and number in self._private:
            self._private.discard(number)
            return
        self._append(source, message, ready=ready)

    def close(self) -> None:
        """End the record."""
        self._file.close()
