"""The limits of the speculation of one wrapper."""

import dataclasses
from collections.abc import Mapping

from spec_envs.checks import integer_or_none, keep_booleans, keep_integers, keep_numbers
from spec_envs.errors import InvalidConfiguration
from spec_envs.usage import Usage
from spec_envs.wrappers.estimates import beyond
from spec_envs.wrappers.quota import HandlerLimit, Quota


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the speculation of one wrapper.

    Args:
        max_inflight: Speculative calls in flight at once; the authoritative call has a slot of its own beside them.
            A cancelled call counts until its handler has returned. Guessers get ``max_inflight + 1`` slots; none where
            ``max_inflight`` is 0.
        max_nodes: Nodes of the tree alive at once; at least 2: where the episode stands, and where it goes next.
        max_depth: How many responses ahead of the authoritative call a call may be started; ``None``: any number.
        min_probability: A call is not started on a branch that is less probable than this.
        per_handler: Limits of single handlers, by name.
        max_tokens: Tokens that speculation may waste over the life of the wrapper; what is committed is not charged. A
            call in flight is charged at what its handler declares that it uses at most (``greatest_usage``; a
            ``ChatModel`` and what prompts it do, where ``max_tokens`` is set), so that the budget is kept. A handler
            that declares nothing makes the budget a soft one: its calls are charged at the greatest usage seen, once
            one has been answered, and the next may use more. ``statistics.over_budget`` says by how much the budget was
            exceeded.
        max_money: Money that speculation may waste over the life of the wrapper, as for ``max_tokens``.
        selectivity: How sure speculation has to be: a call starts only where the odds of its path, P / (1 - P), times
            the share of the call that fits in before its response is needed, are at least this, for a call that costs
            as much a second as others do; at twice the cost, twice the odds. 0: start everything. The dials below take
            its place.
        money_per_s: What a second of waiting is worth to you: a call starts only where the seconds that it is expected
            to save are worth the money that it is expected to waste. With 0, only certain calls start.
        token_ratio: Be as selective as it takes for the episodes to cost this many times the tokens that they cost
            without speculation, cancelled calls charged in full. ``selectivity`` is where to begin.
        money_ratio: The same, for money.
        give_up_below: A branch that was started is discarded, with the calls that are done, when its guesser says
            something new and its probability falls below this.
        calibrate: Correct the probabilities of guessers by how often they were right before.
        read_ttl_s: For how many seconds the result of a ``READ`` call may be shared with an equal call.
        max_reads: Results of ``READ`` calls kept for sharing.
        windows_ahead: Guess the responses of calls that were started ahead too. ``False``, with ``max_depth=1``, gives
            the rules of Algorithm 1 of "Speculative Actions" (arXiv 2510.04371).
    """

    max_inflight: int = 4
    max_nodes: int = 1000
    max_depth: int | None = None
    min_probability: float = 0.01
    per_handler: Mapping[str, HandlerLimit] = dataclasses.field(default_factory=dict)
    max_tokens: float | None = None
    max_money: float | None = None
    selectivity: float = 0.1
    money_per_s: float | None = None
    token_ratio: float | None = None
    money_ratio: float | None = None
    give_up_below: float = 0.0
    calibrate: bool = True
    read_ttl_s: float = 60.0
    max_reads: int = 1000
    windows_ahead: bool = True

    def __post_init__(self) -> None:
        keep_integers(self, max_inflight=0, max_nodes=2, max_reads=0)
        object.__setattr__(self, "max_depth", integer_or_none("max_depth", self.max_depth, least=0))
        keep_numbers(self, "min_probability", "give_up_below", most=1.0)
        keep_numbers(self, "read_ttl_s", "selectivity")
        keep_numbers(self, *(name for name in ("max_tokens", "max_money") if getattr(self, name) is not None))
        dials = ("money_per_s", "token_ratio", "money_ratio")
        given = [name for name in dials if getattr(self, name) is not None]
        for name in given:
            keep_numbers(self, name, least=0.0 if name == "money_per_s" else 1.0)
        if len(given) > 1:
            raise InvalidConfiguration(f"{' and '.join(given)} each say what speculation may cost; give one of them")
        keep_booleans(self, "calibrate", "windows_ahead")
        if not isinstance(self.per_handler, Mapping) or not all(
            isinstance(limit, HandlerLimit) for limit in self.per_handler.values()
        ):
            raise InvalidConfiguration(f"per_handler must map names to a HandlerLimit, not {self.per_handler!r}")

    @property
    def paces(self) -> bool:
        """Whether a handler has a limit by time, for which authoritative calls wait too."""
        return any(limit.max_calls is not None for limit in self.per_handler.values())

    def quotas(self) -> dict[str, Quota]:
        """New quotas of the handlers that have limits."""
        return {handler: Quota(limit) for handler, limit in self.per_handler.items()}

    def excess(self, wasted: Usage) -> Usage:
        """What ``wasted`` holds beyond the budgets; its tokens count as written."""
        return beyond(wasted, self.max_tokens, self.max_money)

    def reach(self, depth: int, probability: float) -> bool:
        """Whether a call may be started ``depth`` responses ahead, on a branch of that ``probability``."""
        return (self.max_depth is None or depth <= self.max_depth) and probability >= self.min_probability
