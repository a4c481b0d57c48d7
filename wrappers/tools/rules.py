"""Rules of tools: whether they may be called ahead of time, and which parts of the outside world they touch."""

import dataclasses
import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set

from spec_envs.calls import Effect, check_effect, parts_named
from spec_envs.checks import keep_booleans, keep_numbers
from spec_envs.errors import InvalidConfiguration
from spec_envs.wrappers.quota import HandlerLimit


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ToolRule:
    """The rule of one tool.

    Args:
        effect: ``READ``: may be called ahead of time, and equal calls may share a result. ``SAMPLE``: may be called
            ahead of time, and each result is used once (also for answers that change by themselves: a clock, a queue).
            ``WRITE``: only when the agent itself calls it.
        touches: The names of the parts of the outside world that the tool reads or changes: a set of texts, or one
            text; kept as a ``frozenset``. The data that a tool reads are a part with the name of the tool. A ``WRITE``
            makes stale the earlier results of all tools that read one of its parts. Empty: nothing. ``None``: unknown;
            for a ``WRITE`` everything that the tools of its server read, for any other tool the part with its name.
        metered: The tool's quota. The tool is called ahead of time only while the quota leaves room for as many calls
            as agents lately made themselves, and one more.
        private: Whether the arguments must not be sent before the agent itself calls the tool, so never ahead of time.
        shared: Whether all agent runs may use a result of a ``READ``, not only the run that has read it.
        ttl_s: For how many seconds after the start of a call its result may be used (>= 0), if that is less than
            ``ToolLimits.ttl_s``.

    Raises:
        InvalidConfiguration: Two of the arguments contradict each other, or one has a wrong type.
    """

    effect: Effect = Effect.WRITE
    touches: str | Set[str] | None = None
    metered: HandlerLimit | None = None
    private: bool = False
    shared: bool = False
    ttl_s: float | None = None

    def __post_init__(self) -> None:
        check_effect("effect", self.effect)
        object.__setattr__(self, "touches", parts_named(self.touches))
        if self.ttl_s is not None:
            keep_numbers(self, "ttl_s")
        keep_booleans(self, "private", "shared")
        if not isinstance(self.metered, HandlerLimit | None):
            raise InvalidConfiguration(f"metered must be a HandlerLimit or None, not {self.metered!r:.80}")
        if self.shared and self.effect is not Effect.READ:
            raise InvalidConfiguration(f"only results of a READ can be shared, and this tool is declared {self.effect}")
        if self.metered is not None and self.metered.max_calls is None:
            raise InvalidConfiguration("a metered tool needs the max_calls of its quota, as HandlerLimit(max_calls=…)")

    def lifetime_s(self, most: float) -> float:
        """For how long a result may be used, where no result may be used for longer than ``most`` seconds."""
        return most if self.ttl_s is None else min(self.ttl_s, most)

    @property
    def may_run_ahead(self) -> bool:
        """Whether the tool may ever be called ahead of time."""
        return self.effect is not Effect.WRITE and not self.private


_UNDECLARED = ToolRule()
#: Of a name that its server has not listed: a call of it fails, and changes nothing.
UNLISTED = ToolRule(touches=frozenset())


def _nearest(name: str, names: Sequence[str]) -> str | None:
    return next(iter(difflib.get_close_matches(name, names, 1, cutoff=0.8)), None)


class ToolRules:
    """The rules of all tools, by ``server:name`` or else by name. Undeclared tools are ``WRITE``.

    Raises:
        InvalidConfiguration: A tool is declared by something other than an ``Effect`` or a ``ToolRule``.
    """

    def __init__(self, declared: Mapping[str, Effect | ToolRule]) -> None:
        if not isinstance(declared, Mapping):
            raise InvalidConfiguration(f"rules must be a mapping from names of tools, not {declared!r:.80}")
        self._declared = {}
        for name, rule in declared.items():
            if not isinstance(name, str):
                raise InvalidConfiguration(f"rules must be given by the names of tools, not by {name!r:.80}")
            if not isinstance(rule, Effect | ToolRule):
                raise InvalidConfiguration(f"{name!r} must be declared by an Effect or a ToolRule, not {rule!r}")
            self._declared[name] = ToolRule(effect=rule) if isinstance(rule, Effect) else rule
        self._hinted: dict[str, ToolRule] = {}
        self._servers: dict[str, str] = {}
        self._placed: set[str] = set()
        self._unsure: set[str] = set()

    def place(self, tool: str, server: str | None) -> None:
        """``tool`` is of ``server``, with whose name it begins; see ``Port`` for "" and ``None``."""
        self._placed.add(tool)
        if server is not None:
            self._servers[tool] = server

    def misspelt(self) -> Iterator[str]:
        """Names in the rules that are probably misspelt, a sentence each: no tool has the name, one nearly has it."""
        known = self._with_own_names(self._placed)
        undeclared = sorted(self._with_own_names(tool for tool in self._placed if not self.is_known(tool)))
        read = {part for rule in self._declared.values() if rule.may_run_ahead for part in rule.touches or ()} | known
        touching_all = self._with_own_names(self._unsure)
        for name, rule in self._declared.items():
            if name not in known and (meant := _nearest(name, undeclared)):
                yield f"{name!r} is declared, and there is no such tool (did you mean {meant!r}?)"
            if rule.effect is not Effect.WRITE or name in touching_all:
                continue
            for part in sorted(rule.touches or ()):
                if part not in read and (meant := _nearest(part, sorted(read))):
                    yield f"{name!r} touches {part!r}, which nothing reads (did you mean {meant!r}?)"

    def _with_own_names(self, tools: Iterable[str]) -> set[str]:
        """The full names, and the names without that of the server."""
        return {name for tool in tools for name in (tool, self._parts(tool)[1])}

    def _parts(self, tool: str) -> tuple[str, str]:
        """Return the names of the server and of the tool itself."""
        server = self._servers.get(tool)
        if server is None:
            server, _, name = tool.rpartition(":")
            return server, name
        return server, tool.removeprefix(f"{server}:") if server else tool

    def server_of(self, tool: str) -> str:
        """The name of the server of ``tool``; "" for tools without one, which count as tools of one server."""
        return self._parts(tool)[0]

    def hint(self, tool: str, rule: ToolRule | None) -> None:
        """Use ``rule`` for ``tool``, or none, unless the tool is declared."""
        self._hinted[tool] = rule or _UNDECLARED

    def doubt(self, write: str, *, touches_all: bool) -> None:
        """Set whether the tool ``write`` touches everything, of all servers, whatever is declared of it."""
        (self._unsure.add if touches_all else self._unsure.discard)(write)

    def is_known(self, tool: str) -> bool:
        """Whether there is a rule for ``tool``."""
        return self[tool] is not _UNDECLARED or tool in self._hinted

    def __getitem__(self, tool: str) -> ToolRule:
        _, bare = self._parts(tool)
        by_name = None if ":" in bare else self._declared.get(bare)  # with a colon it may be meant for another server
        return self._declared.get(tool) or by_name or self._hinted.get(tool) or _UNDECLARED

    def makes_stale(self, write: str, tool: str) -> bool:
        """Whether a call of the tool ``write`` makes results of ``tool`` stale."""
        changed, read = self[write].touches, self[tool].touches
        server, name = self._parts(tool)
        same_server = self._parts(write)[0] == server or write in self._unsure
        if changed is None or write in self._unsure:
            return same_server and read != frozenset()
        names = {tool, name} if same_server else {tool}
        return not names.union(read or ()).isdisjoint(changed)
