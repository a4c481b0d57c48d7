"""The result of ``certify``: a verdict, and the first difference between two episodes."""

import dataclasses
import enum
from typing import Any


class Verdict(enum.Enum):
    """What the comparison has shown."""

    LOSSLESS = "lossless"
    NONDETERMINISTIC_CONTROL = "nondeterministic control"
    DIVERGED = "diverged"
    NOT_FORKABLE = "not forkable"


@dataclasses.dataclass(frozen=True, slots=True)
class Difference:
    """The first difference between two runs.

    Args:
        seed: The seed of the episode.
        step: The number of the step; 0 is the reset, 1 the first step.
        field: ``action``, ``observation``, ``reward``, ``terminated``, ``truncated``, ``info``, ``error``, or ``end``
            if one run has ended and the other has not.
        first: The value in the first run.
        second: The value in the other run.
    """

    seed: int
    step: int
    field: str
    first: Any
    second: Any

    def __str__(self) -> str:
        where = f"seed {self.seed}, step {self.step}"
        return f"{where}: {self.field} is {self.first!r} in one run and {self.second!r} in the other"


@dataclasses.dataclass(frozen=True, slots=True)
class Certificate:
    """The result of ``certify``; true if the verdict is ``LOSSLESS``.

    Args:
        verdict: ``LOSSLESS`` if no seed showed a difference. ``NONDETERMINISTIC_CONTROL`` if two plain runs of one seed
            already differ, so that nothing can be said. ``DIVERGED`` if two plain runs agree and the speculative run
            differs from them. ``NOT_FORKABLE`` if the environment cannot be speculated on; ``reason`` says why.
        seeds: The number of seeds compared, including the seed with the difference.
        difference: The first difference, if any.
        reason: The message of the ``NotForkable``, if any.
    """

    verdict: Verdict
    seeds: int
    difference: Difference | None = None
    reason: str | None = None

    def __bool__(self) -> bool:
        return self.verdict is Verdict.LOSSLESS

    def __str__(self) -> str:
        why = self.reason or self.difference
        where = "" if why is None else f" ({why})"
        return f"{self.verdict.value} on {self.seeds} seed(s){where}"
