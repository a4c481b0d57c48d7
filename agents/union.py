"""``UnionGuesser``: the guesses of several guessers, merged and weighted by how often each was right."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Self

from spec_envs.adapting import as_guess, is_async
from spec_envs.agents.calibration import Reliability, capped
from spec_envs.agents.recent import Recent
from spec_envs.calls import Call
from spec_envs.errors import CallCancelled, InvalidConfiguration
from spec_envs.guesses import Guess, Guesser
from spec_envs.handling import CancelToken
from spec_envs.values import key_of

_log = logging.getLogger(__name__)

#: What a guesser offered for one call: key and claimed probability, best first.
_Offer = list[tuple[Hashable, float]]


class UnionGuesser:
    """Asks several guessers, corrects what they claim by what came true, and merges what they agree on.

    A claim is multiplied by how often that guesser's guess of that rank was right, relative to how often it claimed to
    be. Then the doubts about a response, ``1 - p`` of each of the n guessers with something to say, are multiplied, and
    the n-th root of that is the union's doubt: without the root the guessers would count as independent witnesses,
    which those of one domain are not. What the union claims is corrected as its members' claims are.

    The members are asked one after the other, so name quick ones first: what is known by then is told ``early``, before
    the next one is asked. A member that raises is left out of that guess, counted in ``failures`` and logged; so is one
    whose ``observe`` raises.

    Args:
        guessers: At least one. ``close`` closes those that can be closed.
        capacity: Calls remembered until their response is observed.
    """

    def __init__(self, guessers: Sequence[Guesser], *, capacity: int = 1024) -> None:
        if not guessers:
            raise InvalidConfiguration("guessers must hold at least one guesser")
        self.guessers = tuple(guessers)
        for guesser in self.guessers:
            if is_async(guesser.guess):
                raise InvalidConfiguration(f"guessers must be plain, and {guesser!r}.guess is a coroutine function")
        self._members = [as_guess(guesser.guess) for guesser in self.guessers]
        self._reliability = [Reliability() for _ in self.guessers]
        self._own = [Reliability() for _ in self.guessers]  # of the first one, of the first two, …
        self._offers: Recent[tuple[Sequence[_Offer], Sequence[_Offer]]] = Recent(capacity)
        self._lock = threading.Lock()
        self._failures = [0] * len(self.guessers)

    @property
    def failures(self) -> tuple[int, ...]:
        """How often each guesser has raised."""
        return tuple(self._failures)

    def guess(
        self,
        call: Call,
        k: int,
        cancel: CancelToken | None = None,
        early: Callable[[Sequence[Guess]], None] | None = None,
    ) -> list[Guess]:
        """At most ``k`` guesses, most likely first; ``early`` is called with those of the first members.

        Raises:
            CallCancelled: The token was cancelled while a member was guessing.
        """
        token = CancelToken() if cancel is None else cancel
        values: dict[Hashable, Any] = {}
        offers: list[_Offer] = []
        merged: list[_Offer] = []
        for index in range(len(self.guessers)):
            offers.append(self._ask(index, call, k, token, values))
            merged.append(self._merged(offers, k))
            self._offers.put(call.key, (tuple(offers), tuple(merged)))
            corrected = self._own[index].corrected([p for _, p in merged[index]])
            guesses = [Guess(values[key], p) for (key, _), p in zip(merged[index], corrected, strict=True)]
            if early is not None and guesses and index + 1 < len(self.guessers):
                early(guesses)
        return guesses

    def _merged(self, offers: Sequence[_Offer], k: int) -> _Offer:
        """What the members that were asked say together."""
        doubts: dict[Hashable, float] = {}
        for reliability, offer in zip(self._reliability, offers, strict=False):
            for (key, _), p in zip(offer, reliability.corrected([p for _, p in offer]), strict=True):
                doubts[key] = doubts.get(key, 1.0) * (1.0 - p)
        speakers = sum(map(bool, offers)) or 1
        ranked = sorted(
            ((key, 1.0 - doubt ** (1.0 / speakers)) for key, doubt in doubts.items()), key=lambda item: -item[1]
        )[:k]
        return list(zip([key for key, _ in ranked], capped([p for _, p in ranked]), strict=True))

    def observe(self, call: Call, response: Any) -> None:
        """Learn who was right, if this call was guessed, and tell every member."""
        remembered = self._offers.get(call.key)
        if remembered is not None:
            offers, merged = remembered
            key = key_of(response)
            for reliabilities, all_offers in ((self._reliability, offers), (self._own, merged)):
                for reliability, offer in zip(reliabilities, all_offers, strict=False):  # of those that were asked
                    _learn(reliability, offer, key)
        for index, guesser in enumerate(self.guessers):
            observe = getattr(guesser, "observe", None)
            if observe is not None:
                try:
                    observe(call, response)
                except Exception as error:
                    self._failed(index, error)

    def close(self) -> None:
        """Close every member that can be closed. Idempotent where theirs is."""
        for guesser in self.guessers:
            close = getattr(guesser, "close", None)
            if close is not None:
                close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, index: int, call: Call, k: int, cancel: CancelToken, values: dict[Hashable, Any]) -> _Offer:
        try:
            guesses = self._members[index](call, k, cancel)
            offer: dict[Hashable, float] = {}
            for guess in sorted(guesses, key=lambda guess: -guess.probability)[:k]:
                key = key_of(guess.response)
                values.setdefault(key, guess.response)
                offer[key] = min(1.0, offer.get(key, 0.0) + guess.probability)
        except CallCancelled:
            raise
        except Exception as error:
            self._failed(index, error)
            return []
        return list(offer.items())

    def _failed(self, index: int, error: Exception) -> None:
        with self._lock:
            self._failures[index] += 1
        _log.debug("guesser %d of a union, %r, raised", index, self.guessers[index], exc_info=error)


def _learn(reliability: Reliability, offer: _Offer, key: Hashable) -> None:
    if offer:
        keys = [offered for offered, _ in offer]
        reliability.observe(keys.index(key) if key in keys else None, [p for _, p in offer])
