"""What the episodes of ``bench scale`` are made of: slow handlers whose answers follow from their queries."""

import asyncio
import dataclasses
import hashlib
from typing import Any

from spec_envs.benchmarks.scale import ScaleSettings
from spec_envs.calls import Call
from spec_envs.guesses import Guess
from spec_envs.handling import CancelToken
from spec_envs.testing import FakeEnv

_WAYS = 4
#: How often the guess is right.
RIGHT = 0.7


def _drawn(query: Any) -> tuple[int, int]:
    digest = hashlib.blake2b(repr(query).encode(), digest_size=2).digest()
    return digest[0], digest[1]


@dataclasses.dataclass(frozen=True)
class Slow:
    """A handler that waits for ``seconds`` in the mean."""

    seconds: float

    def __call__(self, query: Any, cancel: CancelToken) -> int:
        """Wait, and answer."""
        answer, tenths = _drawn(query)
        cancel.sleep(self.seconds * (0.5 + tenths / 255))
        return answer % _WAYS


@dataclasses.dataclass(frozen=True)
class SlowAsync:
    """The same as a coroutine function."""

    seconds: float

    async def __call__(self, query: Any, cancel: CancelToken) -> int:
        """Wait, and answer."""
        answer, tenths = _drawn(query)
        await asyncio.sleep(self.seconds * (0.5 + tenths / 255))
        return answer % _WAYS


class Mostly:
    """Guesses right in seven of ten cases, and says so."""

    def guess(self, call: Call, k: int) -> list[Guess]:
        """Return one guess."""
        answer, tenths = _drawn(call.query)
        right = tenths % 10 < 10 * RIGHT
        return [Guess(answer % _WAYS if right else (answer + 1) % _WAYS, RIGHT)]


class MostlyAsync:
    """The same on an event loop."""

    async def guess(self, call: Call, k: int) -> list[Guess]:
        """Return one guess."""
        return Mostly().guess(call, k)


def env_of(handler: Any, settings: ScaleSettings) -> FakeEnv:
    """An environment that asks ``handler`` in every step."""
    return FakeEnv({"world": handler}, length=settings.steps, num_actions=_WAYS)


def guessers(guesser: Mostly | MostlyAsync) -> dict[str, Any]:
    """The guesser for both sides."""
    return {"policy": guesser, "world": guesser}
