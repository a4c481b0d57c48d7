"""``ToolLimits``: the limits of calls ahead of time."""

import dataclasses

from spec_envs.checks import keep_integers, keep_numbers


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ToolLimits:
    """The limits of speculation on tools.

    Args:
        max_inflight: The greatest number of calls in flight ahead of time (>= 0). A call that an agent waits for does
            not count. The guesser gets ``max_inflight + 1`` slots.
        k: The number of guesses to request for one decision of an agent (>= 1).
        max_depth: The number of calls that a call may be started ahead of the agent (>= 1).
        min_probability: The least probability with which a call is started, in [0, 1].
        ttl_s: For how many seconds after the start of a call its result may be used (>= 0).
        max_results: The greatest number of results kept (>= 0).
        min_latency_s: A tool that usually answers in less time is not called ahead of time (>= 0).
        quiet_s: For how long an agent must not have called before anything is predicted (>= 0): guessing would slow
            down calls in a quick row.
        doubt_s: For how many seconds after its end a ``WRITE`` that raised, returned an error or was given up may still
            take effect (>= 0). Meanwhile the tools that it touches are not called ahead of time, and their results are
            not kept.
        max_tokens: Tokens that the guesser may use, over the life of the proxy (>= 0); ``None``: any number. Each
            prediction under way is charged at the greatest usage seen so far, and the first prediction runs alone; so
            the sum can only be exceeded by a prediction that costs more than all before it, and
            ``statistics.over_budget`` says by how much.
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
    quiet_s: float = 0.0
    doubt_s: float = 1.0
    max_tokens: float | None = None
    max_money: float | None = None

    def __post_init__(self) -> None:
        keep_integers(self, max_inflight=0, k=1, max_depth=1, max_results=0)
        keep_numbers(self, "ttl_s", "min_latency_s", "quiet_s", "doubt_s")
        keep_numbers(self, *(name for name in ("max_tokens", "max_money") if getattr(self, name) is not None))
        keep_numbers(self, "min_probability", most=1)
