"""Calls worth making while the episode waits, although nobody knows yet whether it will come to them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Protocol

from spec_envs.calls import Call
from spec_envs.guesses import Guess


@dataclasses.dataclass(frozen=True, slots=True)
class Situation:
    """What is known while the response to a call is not.

    Attributes:
        call: What the episode waits for.
        before: The observation before the step that waits; for a policy's call, the one that it was given.
        action: The action of that step; ``None`` for a policy's call.
        now: The observation after the actions named so far: a fork took them in place of that step, with the real
            results of their reads. ``before`` itself if no action was named yet.
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

    def prefetch(self, situation: Situation, k: int, /, *_: Any, **options: Any) -> Sequence[Guess]:
        """Name actions whose reads are likely to be needed. A method ``prefetch(self, situation, k)`` is enough.

        Args:
            situation: What the episode waits for, and what is known meanwhile.
            k: How many actions are wanted at most.
            **options: ``cancel``, the ``CancelToken`` of this prediction, for a prefetcher that has a parameter of this
                name.

        Returns:
            At most ``k`` actions, each as a ``Guess`` with the probability that its reads are needed. The probabilities
            need not sum to 1, since several actions may be needed.
        """
        ...
