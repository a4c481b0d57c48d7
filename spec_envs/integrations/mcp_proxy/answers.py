"""The answer to a ``tools/call``, kept for an equal call: the client gets it as the server has written it."""

from __future__ import annotations

import dataclasses
from typing import Any, Self

from spec_envs.integrations.mcp_proxy.lines import Message, decoded, encoded, with_id
from spec_envs.integrations.mcp_proxy.server import result_of
from spec_envs.wrappers.tools import _mcp_results

#: Guessers see nothing of a longer answer: it would stay in memory with the conversation, and hardly foretells a call.
_MAX_SEEN = 128 * 1024
#: No answer that is longer is kept.
MAX_KEPT = 64 * 1024 * 1024


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """An answer with a result. It never changes.

    Args:
        line: The answer as the server has written it.
        content: What guessers see of the result.
        is_usable: Whether equal calls may get the answer.
    """

    line: bytes
    content: Any
    is_usable: bool

    @classmethod
    def of(cls, message: Message, line: bytes | None) -> Self:
        """The answer of a server.

        Raises:
            RpcError: The answer is an error.
        """
        result = result_of(message)
        line = line or encoded(message)
        content = "" if len(line) > _MAX_SEEN else _mcp_results.content(result)
        return cls(line, content, len(line) <= MAX_KEPT and _mcp_results.usable(result))

    def to(self, number: Any) -> tuple[Message, bytes]:
        """The answer to the request ``number``, with its line."""
        line = with_id(self.line, number)
        return decoded(line), line
