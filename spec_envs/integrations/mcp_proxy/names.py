"""The names in the rules, against the tools that the servers have listed: a misspelt name must not go unnoticed.

A ``WRITE`` whose ``touches`` hold a name that nobody knows would leave results in use that it has made stale. So it
counts as touching everything for as long as the name is unknown.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set

from spec_envs.calls import Effect
from spec_envs.wrappers.tools import ToolRule
from spec_envs.wrappers.tools.ports import qualified


class Names:
    """The names in the rules of a proxy.

    Args:
        rules: The rules, by ``"server:name"`` or by name.
        servers: The names of the servers.
    """

    def __init__(self, rules: Mapping[str, ToolRule], servers: Sequence[str]) -> None:
        self._rules = rules
        self._servers = servers
        self._listed: dict[str, frozenset[str]] = {}  # the tools of each server, once all are known
        reading = (rule.touches for rule in rules.values() if rule.effect is not Effect.WRITE)
        #: What the tools are declared to read.
        self._parts = frozenset(name for touches in reading for name in touches or ())

    def see(self, server: str, listed: Set[str] | None) -> None:
        """``server`` has listed its tools; ``None``: not all of them."""
        if listed is not None:
            self._listed[server] = frozenset(listed)

    def is_doubtful(self, server: str, name: str) -> bool:
        """Whether nobody knows what the tool ``name`` of ``server`` touches: its rule has a name that is unknown."""
        rule = self._rules.get(qualified(server, name)) or self._rules.get(name)
        return rule is not None and rule.effect is Effect.WRITE and any(self._unknown(server, rule))

    def _unknown(self, server: str | None, rule: ToolRule) -> Iterator[str]:
        """The names in the ``touches`` of a ``WRITE`` of ``server``, or of any server, that are unknown so far."""
        for name in sorted(rule.touches or ()):
            if name not in self._parts and not self._is_tool(name, self._servers if server is None else (server,)):
                yield name

    def _is_tool(self, name: str, servers: Iterable[str]) -> bool:
        """Whether ``name`` is a tool: by its full name, or by its own name a tool of one of ``servers``."""
        server, colon, own = name.partition(":")
        if colon and server in self._servers:
            return own in self._listed.get(server, ())
        return any(name in self._listed.get(each, ()) for each in servers)

    @property
    def problems(self) -> list[str]:
        """What is wrong with the names, a sentence each. Servers that have not listed all tools may know others."""
        return [*self._unknown_tools(), *self._unknown_parts()]

    def _unknown_tools(self) -> Iterator[str]:
        for name in self._rules:
            if self._may_be_judged(name) and not self._is_tool(name, self._servers):
                yield f"[tools.{json.dumps(name)}] names {self._nothing(name)}"

    def _unknown_parts(self) -> Iterator[str]:
        for tool, rule in self._rules.items():
            server = tool.partition(":")[0] if ":" in tool else None
            for name in self._unknown(server, rule) if rule.effect is Effect.WRITE else ():
                if self._may_be_judged(name):
                    yield (
                        f"[tools.{json.dumps(tool)}] touches {json.dumps(name)}, {self._nothing(name)}, and nothing is "
                        "declared to read it; so its calls make all results stale"
                    )

    def _may_be_judged(self, name: str) -> bool:
        """Whether the servers that may have the tool ``name`` have listed all of their tools."""
        server, colon, _ = name.partition(":")
        if colon and server in self._servers:
            return server in self._listed
        return all(each in self._listed for each in self._servers)

    def _nothing(self, name: str) -> str:
        """In words: what ``name`` is not, and what may be meant."""
        server, colon, _ = name.partition(":")
        if colon and server not in self._servers:
            return f"no tool: there is no server {server!r}, only {', '.join(self._servers)}"
        full = [qualified(each, own) for each, names in self._listed.items() for own in names]
        own = [each.partition(":")[2] for each in full]
        meant = difflib.get_close_matches(name, sorted(full if colon else own), 1)
        return f"no tool of the server{'s' * (len(self._servers) > 1)}" + (
            f" (did you mean {meant[0]}?)" if meant else ""
        )
