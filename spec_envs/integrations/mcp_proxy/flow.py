"""Back-pressure: where one side does not read, the proxy stops reading from those who send to that side.

A side that does not read may be blocked because it writes itself, and reads again once somebody has read what it
writes. So the proxy reads on from such a side for longer. (Without the proxy, two sides that both write first and read
later get stuck once a pipe is full.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

#: So many bytes for a side that has not read them yet are much.
MUCH = 1024 * 1024
#: So many are kept for one side while the side that sends them does not read either.
_MOST = 64 * MUCH


class Side(Protocol):
    """The client, or a server."""

    @property
    def backlog(self) -> int:
        """The number of bytes that wait for this side."""
        ...

    def hold(self, held: bool) -> None:
        """Read nothing more from this side until ``held`` is false again."""


class Flow:
    """Decides from which sides to read."""

    def __init__(self, client: Side, servers: Sequence[Side]) -> None:
        self._client = client
        self._servers = servers

    def regulate(self) -> None:
        """To be called when a backlog is much, and when it has become little again."""
        for_client = self._client.backlog
        for_servers = [server.backlog for server in self._servers]
        self._client.hold(max(for_servers) > _limit(for_client))
        for server, backlog in zip(self._servers, for_servers, strict=True):
            server.hold(for_client > _limit(backlog))


def _limit(backlog_of_sender: int) -> int:
    return _MOST if backlog_of_sender > MUCH else MUCH
