"""What is declared of tools: what calling one ahead of time would do, and what speculation on them may use."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Set
from typing import TYPE_CHECKING

from spec_envs.calls import Effect
from spec_envs.errors import InvalidConfiguration

if TYPE_CHECKING:
    from spec_envs.wrappers.quota import HandlerLimit

__all__ = ["ToolLimits", "ToolRule", "ToolRules"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ToolRule:
    """What is declared of one tool.

    Args:
        effect: ``READ``: may be called ahead of time, and equal calls may share a result. ``SAMPLE``: may be called
            ahead of time, and each result is used once (also right for what changes by itself: a clock, a queue).
            ``WRITE``: only when the agent itself calls it.
        touches: For a ``WRITE``: names of the tools whose earlier results it makes stale; empty: it changes nothing
            that is read. ``None``: all tools of its server.
        metered: The tool's quota. It is called ahead of time only while there is slack: room is left for as many calls
            as the agents themselves lately made, and one.
        private: Its arguments must not leave before the agent itself calls it, so it is never called ahead of time.
        shared: Results of a ``READ`` may be used by all runs, not only by the one that they were read in.
    """

    effect: Effect = Effect.WRITE
    touches: Set[str] | None = None
    metered: HandlerLimit | None = None
    private: bool = False
    shared: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.touches, str):
            raise InvalidConfiguration(f"touches must be a set of names of tools, not the text {self.touches!r}")
        if self.touches is not None:
            object.__setattr__(self, "touches", frozenset(self.touches))
        if self.touches is not None and self.effect is not Effect.WRITE:
            raise InvalidConfiguration(f"only a WRITE touches other tools, and this tool is declared {self.effect}")
        if self.shared and self.effect is not Effect.READ:
            raise InvalidConfiguration(f"only results of a READ can be shared, and this tool is declared {self.effect}")
        if self.metered is not None and self.metered.max_calls is None:
            raise InvalidConfiguration("a metered tool needs the max_calls of its quota, as HandlerLimit(max_calls=…)")

    @property
    def may_run_ahead(self) -> bool:
        """Whether the tool may ever be called ahead of time."""
        return self.effect is not Effect.WRITE and not self.private


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ToolLimits:
    """What speculation on tools may use.

    Args:
        max_inflight: Calls made ahead of time that are in flight at once; 0: none. What an agent waits for does not
            count. Guessers have as many places, and one.
        k: Guesses of what an agent does next.
        max_depth: How many calls ahead of the agent a call may be started.
        min_probability: A call is not started that is less probable than this.
        ttl_s: For how many seconds after it was begun a call's result may be used.
        max_results: Results that are kept.
        min_latency_s: A tool that usually answers in less is not called ahead of time: there is nothing to save.
    """

    max_inflight: int = 4
    k: int = 3
    max_depth: int = 4
    min_probability: float = 0.1
    ttl_s: float = 60.0
    max_results: int = 1000
    min_latency_s: float = 0.005

    def __post_init__(self) -> None:
        for name, least in (("max_inflight", 0), ("k", 1), ("max_depth", 1), ("max_results", 0)):
            if getattr(self, name) < least:
                raise InvalidConfiguration(f"{name} must be at least {least}, not {getattr(self, name)!r}")
        for name in ("ttl_s", "min_latency_s"):
            if not getattr(self, name) >= 0:
                raise InvalidConfiguration(f"{name} must be at least 0 seconds, not {getattr(self, name)!r}")
        if not 0 <= self.min_probability <= 1:
            raise InvalidConfiguration(f"min_probability must lie in [0, 1], not {self.min_probability!r}")


_UNDECLARED = ToolRule()


class ToolRules:
    """The rules of all tools, by name, or by ``server:name``, which says more. Undeclared tools are ``WRITE``."""

    def __init__(self, declared: Mapping[str, Effect | ToolRule]) -> None:
        self._declared = {}
        for name, rule in declared.items():
            if not isinstance(rule, Effect | ToolRule):
                raise InvalidConfiguration(f"{name!r} must be declared by an Effect or a ToolRule, not {rule!r}")
            self._declared[name] = ToolRule(effect=rule) if isinstance(rule, Effect) else rule
        self._hinted: dict[str, ToolRule] = {}

    def hint(self, tool: str, effect: Effect) -> None:
        """What a trusted server says of its ``tool``; what is declared counts more."""
        self._hinted[tool] = ToolRule(effect=effect)

    def __getitem__(self, tool: str) -> ToolRule:
        bare = tool.rpartition(":")[2]
        return self._declared.get(tool) or self._declared.get(bare) or self._hinted.get(tool) or _UNDECLARED

    def touches(self, write: str, tool: str) -> bool:
        """Whether calling ``write`` makes results of ``tool`` stale."""
        touched = self[write].touches
        same_server = write.rpartition(":")[0] == tool.rpartition(":")[0]
        if touched is None:
            return same_server
        return tool in touched or (same_server and tool.rpartition(":")[2] in touched)
