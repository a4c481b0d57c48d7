"""The result of ``certify``: a verdict, and the first difference between two episodes."""

import dataclasses
import enum
from typing import Any

from spec_envs.wrappers.differences import first_difference


class Verdict(enum.Enum):
    """What the comparison has shown."""

    LOSSLESS = "lossless"
    NONDETERMINISTIC_CONTROL = "nondeterministic control"
    DIVERGED = "diverged"
    NOT_FORKABLE = "not forkable"
    FAILED_ALIKE = "failed alike"
    NOTHING_COMPARED = "nothing was compared"


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
        path, one, other = first_difference(self.field, self.first, self.second)
        return f"seed {self.seed}, step {self.step}: {path} is {one} in one run and {other} in the other"


@dataclasses.dataclass(frozen=True, slots=True)
class Failure:
    """An error that ended an episode, with and without speculation.

    Args:
        seed: The seed of the episode.
        step: The number of the step that was not made; 0 is the reset, 1 the first step.
        error: The class of the error, and its text.
    """

    seed: int
    step: int
    error: str

    def __str__(self) -> str:
        return f"seed {self.seed}, step {self.step}: {self.error}"


@dataclasses.dataclass(frozen=True, slots=True)
class Certificate:
    """The result of ``certify``; true if the verdict is ``LOSSLESS``.

    Args:
        verdict: ``LOSSLESS`` if no seed showed a difference, and every episode was played to its end, or to
            ``max_steps``. ``FAILED_ALIKE`` if no seed showed a difference, but errors have ended episodes, the same
            errors with and without speculation. ``NOTHING_COMPARED`` if errors have ended every episode before the end
            of its first step. ``NONDETERMINISTIC_CONTROL`` if two plain runs of one seed already differ, so that
            nothing can be said. ``DIVERGED`` if two plain runs agree and the speculative run differs from them.
            ``NOT_FORKABLE`` if the environment cannot be speculated on; ``reason`` says why.
        seeds: The number of seeds compared, including the seed with the difference.
        difference: The first difference, if any.
        reason: The message of the ``NotForkable``, if any.
        failed: The number of seeds whose episode was ended by an error, the same with and without speculation.
        failure: The first of these errors, if any.
    """

    verdict: Verdict
    seeds: int
    difference: Difference | None = None
    reason: str | None = None
    failed: int = 0
    failure: Failure | None = None

    def __bool__(self) -> bool:
        return self.verdict is Verdict.LOSSLESS

    def __str__(self) -> str:
        if self.verdict is Verdict.NOTHING_COMPARED:
            return f"{self.verdict.value}: on all of {self.seeds} seed(s) the first step failed ({self.failure})"
        if self.verdict is Verdict.FAILED_ALIKE:
            return (
                f"{self.verdict.value} on {self.failed} of {self.seeds} seed(s): no difference, but an error has ended "
                f"these episodes in all runs ({self.failure})"
            )
        why = self.reason or self.difference
        where = "" if why is None else f" ({why})"
        return f"{self.verdict.value} on {self.seeds} seed(s){where}"
