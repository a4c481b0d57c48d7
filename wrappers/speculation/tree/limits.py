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
        max_inflight: The greatest number of speculative calls in flight at once. The authoritative call has a slot of
            its own beside them. A cancelled call counts until its handler has returned. Guessers get
            ``max_inflight + 1`` slots, and none if ``max_inflight`` is 0.
        max_nodes: The greatest number of nodes in the tree at once. At least 2: where the episode stands, and where it
            goes next.
        max_depth: How many responses ahead of the authoritative call a call may be started; ``None``: any number.
        min_probability: No call is started on a branch that is less probable than this.
        per_handler: The limits of single handlers, by name.
        max_tokens: How many tokens speculation may waste over the life of the wrapper. Calls that the episode uses are
            not charged. A call in flight is charged with the greatest usage that its handler declares
            (``greatest_usage``), so the budget is not exceeded. A ``ChatModel`` and the policies that prompt it declare
            this usage if their ``max_tokens`` is set. The calls of a handler that declares nothing are charged with
            the greatest usage seen, once a call has been answered. A later call may use more, and then
            ``statistics.over_budget`` says by how much the budget was exceeded.
        max_money: How much money speculation may waste over the life of the wrapper, as for ``max_tokens``.
        selectivity: How sure speculation has to be. A call starts only if the odds of its path, P / (1 - P), times the
            share of the call that fits in before its response is needed, are at least ``selectivity``. This holds for a
            call that costs as much a second as calls usually cost; at twice the cost, twice the odds are needed. 0:
            start every call. The dials below take the place of ``selectivity``.
        money_per_s: What a second of waiting is worth to you. A call starts only if the seconds that it is expected to
            save are worth the money that it is expected to waste. With 0, only certain calls start.
        token_ratio: Be as selective as is needed for episodes to cost this many times the tokens that they cost without
            speculation, with cancelled calls charged in full. ``selectivity`` is the selectivity to begin with.
        money_ratio: The same as ``token_ratio``, for money.
        give_up_below: When a guesser makes new guesses and the probability of a started branch falls below this, the
            branch is discarded, with its finished calls.
        calibrate: Correct the probabilities of guessers by how often they were right before.
        read_ttl_s: For how many seconds the result of a ``READ`` call may be shared with an equal call.
        max_reads: The number of results of ``READ`` calls that are kept for sharing.
        windows_ahead: Also guess the responses of calls that were started ahead of time. ``False``, with
            ``max_depth=1``, gives the rules of Algorithm 1 of "Speculative Actions" (arXiv 2510.04371).
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
        """Whether a handler has a rate limit, for which authoritative calls wait too."""
        return any(limit.max_calls is not None for limit in self.per_handler.values())

    def quotas(self) -> dict[str, Quota]:
        """New quotas of the handlers that have limits."""
        return {handler: Quota(limit) for handler, limit in self.per_handler.items()}

    def excess(self, wasted: Usage) -> Usage:
        """The part of ``wasted`` beyond the budgets. Its tokens count as written tokens."""
        return beyond(wasted, self.max_tokens, self.max_money)

    def reach(self, depth: int, probability: float) -> bool:
        """Whether a call may be started ``depth`` responses ahead, on a branch of this ``probability``."""
        return (self.max_depth is None or depth <= self.max_depth) and probability >= self.min_probability
