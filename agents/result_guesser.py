"""``ResultGuesser``: guesses that a ``READ`` returns what it returned before."""

from collections.abc import Callable, Hashable, Iterable
from typing import Any

from spec_envs import Call, Effect, Guess
from spec_envs.agents.calibration import RankCalibration
from spec_envs.agents.recent import Recent
from spec_envs.values import same

#: The prior probabilities that a result is the same again, and that a copy is right.
_SEEN, _COPIED = 0.9, 0.5
_STRENGTH = 5.0
#: The number of tools with a calibration of their own.
_TOOLS = 1_000


class ResultGuesser:
    """Guesses that a ``READ``, for example of a tool or a page, returns what an equal ``READ`` returned the last time.

    So the agent's next call can start before a slow result has arrived. This helps with reads that are repeated in
    later episodes, after earlier results have become too old to be shared (``Limits.read_ttl_s``). How often results
    are the same again is learned online: for each handler, and for each tool if the queries have a ``name``.
    Thread-safe. Pickling keeps what was learned.

    Args:
        capacity: The number of results remembered. The least recently used result is forgotten first.
        copy: ``copy(query)`` returns the result in a quick copy that may be out of date, such as a dump of a site or an
            older cache, or ``None`` if the copy has none. Used for guesses if there was no equal ``READ`` before.
    """

    def __init__(self, *, capacity: int = 10_000, copy: Callable[[Any], Any] | None = None) -> None:
        self._copy = copy
        self._seen: Recent[tuple[Any]] = Recent(capacity)
        self._comes_again: Recent[RankCalibration] = Recent(_TOOLS)
        self._copy_is_right = RankCalibration(prior=(_COPIED,), strength=_STRENGTH)

    def guess(self, call: Call, k: int) -> list[Guess]:
        """Return one guess if there was an equal ``READ``, or if the copy has a result; otherwise none."""
        if call.effect is not Effect.READ:
            return []
        known, calibration = self._known(call)
        return [] if known is None else [Guess(known[0], calibration.probability(0))][:k]

    def observe(self, call: Call, response: Any) -> None:
        """Remember the result of a ``READ``, and learn whether it was known."""
        if call.effect is not Effect.READ:
            return
        known, calibration = self._known(call)
        if known is not None:
            calibration.observe(0 if same(known[0], response) else None, 1)
        for key in self._keys(call, response):
            self._seen.put(key, (response,))

    def _keys(self, call: Call, response: Any) -> Iterable[Hashable]:
        """The keys of the calls that would have the same response."""
        return (call.key,)

    def _known(self, call: Call) -> tuple[tuple[Any] | None, RankCalibration]:
        """The result that is known, which may be ``None``, in a tuple; ``None`` if none is known."""
        seen = self._seen.get(call.key)
        if seen is None and self._copy is not None:
            copied = self._copy(call.query)
            return None if copied is None else (copied,), self._copy_is_right
        tool = call.handler, str(getattr(call.query, "name", ""))
        return seen, self._comes_again.get_or_make(tool, _new_calibration)


def _new_calibration() -> RankCalibration:
    return RankCalibration(prior=(_SEEN,), strength=_STRENGTH)
