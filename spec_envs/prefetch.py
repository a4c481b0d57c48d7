"""Calls worth making while the episode waits, although nobody knows yet whether it will come to them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from spec_envs.calls import Call, Guess

__all__ = ["Prefetcher", "Situation"]


@dataclasses.dataclass(frozen=True, slots=True)
class Situation:
    """What is known while the response to a call is not.

    Attributes:
        call: What the episode waits for.
        before: The observation before the step that waits; for a policy's call, the one that it was given.
        action: The action of that step; ``None`` for a policy's call.
        now: The observation that follows ``before`` on a fork on which actions were tried in place of that step, those
            that were named so far, with the real results of their reads; ``before`` itself if none was.
    """

    call: Call
    before: Any
    action: Any
    now: Any


class Prefetcher(Protocol):
    """Names actions whose reads are likely to be needed whatever the response to a call turns out to be.

    They are tried on a fork that stands before the step that waits. Only their ``READ`` calls are made, and what these
    return is shared with equal calls of the episode; nothing else of the fork is ever used.
    """

    @property
    def prefetch(self) -> Callable[..., Sequence[Guess]]:
        """``prefetch(situation, k)``: at most ``k`` actions, each with the probability that its reads are needed.

        The probabilities need not sum to 1, since several may be. A parameter named ``cancel`` gets the token.
        """
