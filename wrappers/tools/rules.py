"""What is declared of tools: what may be done with them (rules), how they are called (ports), and limits."""

import dataclasses
from collections.abc import Awaitable, Callable, Mapping, Set
from typing import Any

from spec_envs.calls import Effect
from spec_envs.checks import integer
from spec_envs.conversation import ToolResult, from_chat
from spec_envs.errors import InvalidConfiguration
from spec_envs.wrappers.quota import HandlerLimit

__all__ = ["Port", "ToolLimits", "ToolRule", "ToolRules", "qualified"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ToolRule:
    """What is declared of one tool.

    Args:
        effect: ``READ``: may be called ahead of time, and equal calls may share a result. ``SAMPLE``: may be called
            ahead of time, and each result is used once (also right for what changes by itself: a clock, a queue).
            ``WRITE``: only when the agent itself calls it.
        touches: For a ``WRITE``: the names of the tools whose earlier results it makes stale; empty: it changes nothing
            that tools read; ``None``: all tools of its server.
        metered: The tool's quota. The tool is called ahead of time only while the quota leaves room for as many calls
            as agents lately made themselves, and one more.
        private: Whether the arguments must not be sent before the agent itself calls the tool. A private tool is never
            called ahead of time.
        shared: Whether all agent runs may use a result of a ``READ``, not only the run that has read it.

    Raises:
        InvalidConfiguration: Two of these contradict each other.
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
        max_inflight: The greatest number of calls in flight ahead of time (>= 0). A call that an agent waits for does
            not count. The guesser gets ``max_inflight + 1`` slots.
        k: The number of guesses to request of what an agent does next (>= 1).
        max_depth: How many calls ahead of the agent a call may be started (>= 1).
        min_probability: The least probability with which a call is started, in [0, 1].
        ttl_s: For how many seconds after the start of a call its result may be used (>= 0).
        max_results: The greatest number of results kept (>= 0).
        min_latency_s: A tool that usually answers in less time is not called ahead of time (>= 0).
        doubt_s: For how many seconds after its end a ``WRITE`` that raised, returned an error or was given up may still
            take effect (>= 0). Meanwhile the tools that it touches are not called ahead of time, and their results are
            not kept.
        max_tokens: Tokens that the guesser may use, over the life of the proxy (>= 0); ``None``: any number. Each
            prediction under way is charged at the greatest usage seen so far, and the first prediction runs alone; so
            the sum can only be exceeded by a prediction that is dearer than all before it.
        max_money: Money that the guesser may use, as for ``max_tokens``.

    Raises:
        InvalidConfiguration: A limit is out of range.
    """

    max_inflight: int = 4
    k: int = 3
    max_depth: int = 4
    min_probability: float = 0.1
    ttl_s: float = 60.0
    max_results: int = 1000
    min_latency_s: float = 0.005
    doubt_s: float = 1.0
    max_tokens: float | None = None
    max_money: float | None = None

    def __post_init__(self) -> None:
        for name, least in (("max_inflight", 0), ("k", 1), ("max_depth", 1), ("max_results", 0)):
            integer(name, getattr(self, name), least=least)
        for name in ("ttl_s", "min_latency_s", "doubt_s", "max_tokens", "max_money"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise InvalidConfiguration(f"{name} must be a number of at least 0, not {value!r}")
        if not 0 <= self.min_probability <= 1:
            raise InvalidConfiguration(f"min_probability must lie in [0, 1], not {self.min_probability!r}")


_UNDECLARED = ToolRule()
#: Of a name that its server has not listed: a call of it fails, and changes nothing.
UNLISTED = ToolRule(touches=frozenset())


class ToolRules:
    """The rules of all tools, by ``server:name`` or else by name. Undeclared tools are ``WRITE``.

    Raises:
        InvalidConfiguration: A tool is declared by something other than an ``Effect`` or a ``ToolRule``.
    """

    def __init__(self, declared: Mapping[str, Effect | ToolRule]) -> None:
        self._declared = {}
        for name, rule in declared.items():
            if not isinstance(rule, Effect | ToolRule):
                raise InvalidConfiguration(f"{name!r} must be declared by an Effect or a ToolRule, not {rule!r}")
            self._declared[name] = ToolRule(effect=rule) if isinstance(rule, Effect) else rule
        self._hinted: dict[str, ToolRule] = {}

    def hint(self, tool: str, rule: ToolRule | None) -> None:
        """Use ``rule`` for ``tool``, or none, unless the tool is declared."""
        self._hinted[tool] = rule or _UNDECLARED

    def is_known(self, tool: str) -> bool:
        """Whether there is a rule for ``tool``."""
        return self[tool] is not _UNDECLARED or tool in self._hinted

    def __getitem__(self, tool: str) -> ToolRule:
        bare = tool.rpartition(":")[2]
        return self._declared.get(tool) or self._declared.get(bare) or self._hinted.get(tool) or _UNDECLARED

    def touches(self, write: str, tool: str) -> bool:
        """Whether a call of the tool ``write`` makes results of ``tool`` stale."""
        touched = self[write].touches
        same_server = write.rpartition(":")[0] == tool.rpartition(":")[0]
        if touched is None:
            return same_server
        return tool in touched or (same_server and tool.rpartition(":")[2] in touched)


def qualified(server: str, name: str) -> str:
    """Return the name by which rules, guessers and the audit know the tool ``name`` of ``server``."""
    return f"{server}:{name}" if server else name


def _as_it_is(value: Any) -> Any:
    return value


def _always(value: Any) -> bool:
    return True


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """How a tool is called ahead of time, and how its results are read. Adapters make ports.

    Args:
        execute: ``await execute(arguments, context)`` returns the result; ``context`` is that of the agent run.
        content: ``content(result)`` returns what guessers see of a result: JSON data or a text.
        usable: ``usable(result)`` says whether other equal calls may get the result: false for errors, and for results
            that do more than answer the call.
        source: Where the tool comes from: a client, a server or a function. Two sources may not have tools of the same
            name.
        takes_context: Whether ``execute`` uses its ``context``. If so, the user is told when calls fail ahead of time
            alone, and ``tools.run`` was given no context.
    """

    execute: Callable[[dict[str, Any], Any], Awaitable[Any]]
    content: Callable[[Any], Any] = _as_it_is
    usable: Callable[[Any], bool] = _always
    source: Any = None
    takes_context: bool = True

    def seen(self, value: Any) -> Any:
        """Return what guessers see of the result ``value``; a text that holds JSON as JSON data."""
        content = self.content(value)
        if not isinstance(content, str):
            return content
        (result,) = from_chat([{"role": "tool", "content": content}]).events
        return result.content if isinstance(result, ToolResult) else content
