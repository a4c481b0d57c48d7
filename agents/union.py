"""``UnionGuesser``: merges the guesses of several guessers."""

import logging
from collections.abc import Callable, Hashable, Sequence
from typing import Any

from spec_envs import Call, CancelToken, Guess, Guesser
from spec_envs.agents.calibration import Reliability, capped
from spec_envs.agents.recent import Recent
from spec_envs.attributes import attribute_of
from spec_envs.closing import Closing
from spec_envs.errors import CallCancelled, InvalidConfiguration
from spec_envs.guesses import check_guesser
from spec_envs.handling import as_guess, is_async, unpriced_model
from spec_envs.pickling import Lock
from spec_envs.values import key_of

_log = logging.getLogger(__name__)

#: The guesses of a guesser for one call: key and claimed probability, best first.
_Offer = list[tuple[Hashable, float]]


class UnionGuesser(Closing):
    """Lets several guessers predict, corrects their probabilities by past hits, and merges equal guesses.

    A claimed probability is multiplied by the guesser's ratio of hits to claimed hits at that rank. For each response,
    the doubts ``1 - p`` of all n guessers that have guesses are then multiplied. The union's doubt is the n-th root of
    the product: without the root, the guessers would count as independent, and guessers of one domain are not. The
    union's own probabilities are corrected in the same way.

    The members predict one after the other, so list quick members first: their guesses are passed to ``early`` before
    the next member starts. If a member raises an error, the error is logged and counted in ``failures``, and the guess
    is made without the member. Errors of ``observe`` are logged and counted too. If nothing may be spent
    (``cancel.may_spend``), the first member that is known to cost something is left out, with all members after it.

    Args:
        guessers: The members, at least one. ``close`` closes those that have a ``close``.
        capacity: The number of calls that are remembered until their responses are observed.

    Raises:
        InvalidConfiguration: ``guessers`` is empty, or a member is no guesser, or its ``guess`` a coroutine function.
    """

    frugal = True

    def __init__(self, guessers: Sequence[Guesser], *, capacity: int = 1024) -> None:
        if not isinstance(guessers, Sequence) or not guessers:
            raise InvalidConfiguration(f"guessers must hold at least one guesser, in a list, not {guessers!r:.80}")
        self.guessers = tuple(guessers)
        for number, guesser in enumerate(self.guessers):
            check_guesser(f"guessers[{number}]", guesser)
            if is_async(guesser.guess):
                raise InvalidConfiguration(f"guessers must not be async, and {guesser!r}.guess is a coroutine function")
        self._members = [as_guess(guesser.guess) for guesser in self.guessers]
        self._reliability = [Reliability() for _ in self.guessers]
        self._own = [Reliability() for _ in self.guessers]  # of the union of the first member, of the first two, …
        self._offers: Recent[tuple[Sequence[_Offer], Sequence[_Offer]]] = Recent(capacity)
        self._lock = Lock()
        self._failures = [0] * len(self.guessers)
        self._costs = [False] * len(self.guessers)

    @property
    def unpriced(self) -> str | None:
        """The name of a member's model whose price is unknown, if there is one."""
        return next(filter(None, map(unpriced_model, self.guessers)), None)

    @property
    def failures(self) -> tuple[int, ...]:
        """The number of errors that each guesser has raised."""
        return tuple(self._failures)

    def guess(
        self,
        call: Call,
        k: int,
        cancel: CancelToken | None = None,
        early: Callable[[Sequence[Guess]], None] | None = None,
    ) -> list[Guess]:
        """Return at most ``k`` guesses, most likely first; ``early`` is called with the guesses of the first members.

        Raises:
            CallCancelled: The token was cancelled while a member was predicting.
            Exception: All members have failed; this is the error of the first.
        """
        token = CancelToken() if cancel is None else cancel
        values: dict[Hashable, Any] = {}
        offers: list[_Offer] = []
        merged: list[_Offer] = []
        guesses: list[Guess] = []
        errors: list[Exception] = []
        for index in range(len(self.guessers)):
            if self._costs[index] and not token.may_spend:
                break
            offers.append(self._predict(index, call, k, token, values, errors))
            merged.append(self._merged(offers, k))
            self._offers.put(call.key, (tuple(offers), tuple(merged)))
            corrected = self._own[index].corrected([p for _, p in merged[index]])
            guesses = [Guess(values[key], p) for (key, _), p in zip(merged[index], corrected, strict=True)]
            if early is not None and guesses and index + 1 < len(self.guessers):
                early(guesses)
        if len(errors) == len(self.guessers):
            raise errors[0]
        return guesses

    def _merged(self, offers: Sequence[_Offer], k: int) -> _Offer:
        """Return the merged guesses of the members that have predicted so far."""
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
        """Learn which members were right, if this call was guessed, and pass the response to every member."""
        remembered = self._offers.get(call.key)
        if remembered is not None:
            offers, merged = remembered
            key = key_of(response)
            for reliabilities, all_offers in ((self._reliability, offers), (self._own, merged)):
                for reliability, offer in zip(reliabilities, all_offers, strict=False):  # of the members that predicted
                    _learn(reliability, offer, key)
        for index, guesser in enumerate(self.guessers):
            observe = attribute_of(guesser, "observe")
            if observe is not None:
                try:
                    observe(call, response)
                except Exception as error:
                    self._failed(index, error)

    def close(self) -> None:
        """Close every member that has a ``close``. Idempotent if the members' ``close`` is."""
        for guesser in self.guessers:
            close = attribute_of(guesser, "close")
            if close is not None:
                close()

    def _predict(
        self, index: int, call: Call, k: int, cancel: CancelToken, values: dict[Hashable, Any], errors: list[Exception]
    ) -> _Offer:
        before = cancel.usage()[1]
        try:
            guesses = self._members[index](call, k, cancel)
            self._costs[index] = self._costs[index] or cancel.usage()[1] != before
            offer: dict[Hashable, float] = {}
            for guess in sorted(guesses, key=lambda guess: -guess.probability)[:k]:
                key = key_of(guess.response)
                values.setdefault(key, guess.response)
                offer[key] = min(1.0, offer.get(key, 0.0) + guess.probability)
        except CallCancelled:
            raise
        except Exception as error:
            self._failed(index, error)
            errors.append(error)
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
