"""What ``certify`` says, and the comparison of episodes behind it."""

from __future__ import annotations

import dataclasses
import enum
import itertools
from collections.abc import Hashable, Mapping
from typing import Any

from spec_envs.errors import InvalidConfiguration
from spec_envs.values import key_of
from spec_envs.wrappers.speculation.transitions import plain_reward

__all__ = ["Certificate", "Comparison", "Difference", "Record", "Verdict", "error_entry", "reset_entry", "step_entry"]


class Verdict(enum.Enum):
    """What the comparison has shown."""

    LOSSLESS = "lossless"
    NONDETERMINISTIC_CONTROL = "nondeterministic control"
    DIVERGED = "diverged"


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
            differs from them.
        seeds: The number of seeds compared, including the seed with the difference.
        difference: The first difference, if any.
    """

    verdict: Verdict
    seeds: int
    difference: Difference | None = None

    def __bool__(self) -> bool:
        return self.verdict is Verdict.LOSSLESS

    def __str__(self) -> str:
        where = "" if self.difference is None else f" ({self.difference})"
        return f"{self.verdict.value} on {self.seeds} seed(s){where}"


#: One entry for the reset and one for each step: field name -> value, or the value's key.
Record = list[dict[str, Any]]


def reset_entry(observation: Any, info: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entry of a reset."""
    return {"observation": key_of(observation), "info": _key_of_info(info)}


def step_entry(
    action: Hashable, observation: Any, reward: Any, terminated: bool, truncated: bool, info: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the entry of a step with the action whose key is ``action``."""
    return {
        "action": action,
        "observation": key_of(observation),
        "reward": key_of(plain_reward(reward)),
        "terminated": bool(terminated),
        "truncated": bool(truncated),
        "info": _key_of_info(info),
    }


def error_entry(error: Exception) -> dict[str, Any]:
    """Return the entry of an error that has ended the episode."""
    return {"error": (type(error).__name__, str(error))}


def _key_of_info(info: Mapping[str, Any] | None) -> Hashable:
    return key_of({name: value for name, value in (info or {}).items() if name != "speculation"})


class Comparison:
    """Compares three runs of each seed: plain, plain, speculative."""

    def __init__(self) -> None:
        self._certificate = Certificate(Verdict.LOSSLESS, 0)
        self._runs: list[Record] = []

    @property
    def decided(self) -> bool:
        """Whether a difference was found."""
        return not self._certificate

    def result(self) -> Certificate:
        """Return the certificate.

        Raises:
            InvalidConfiguration: Nothing was compared.
        """
        if not self._certificate.seeds:
            raise InvalidConfiguration("seeds must hold at least one seed: nothing was compared, so nothing is known")
        return self._certificate

    def add(self, seed: int, run: Record) -> None:
        """Compare the next run with the first run of the same seed."""
        if len(self._runs) == 3:
            self._runs.clear()
        self._runs.append(run)
        count = self._certificate.seeds + (len(self._runs) == 1)
        difference = _first_difference(seed, self._runs[0], run)
        if difference is None:
            self._certificate = Certificate(Verdict.LOSSLESS, count)
        else:
            verdict = Verdict.NONDETERMINISTIC_CONTROL if len(self._runs) == 2 else Verdict.DIVERGED
            self._certificate = Certificate(verdict, count, difference)


def _first_difference(seed: int, first: Record, second: Record) -> Difference | None:
    for step, (one, other) in enumerate(itertools.zip_longest(first, second)):
        if one is None or other is None:
            return Difference(seed, step, "end", one is None, other is None)
        for field in dict.fromkeys((*one, *other)):
            if one.get(field) != other.get(field):
                return Difference(seed, step, field, one.get(field), other.get(field))
    return None
