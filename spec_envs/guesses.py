"""Guessers and prefetchers, which predict responses, and reads, while an episode waits for a response."""

import dataclasses
import inspect
import itertools
from collections.abc import Awaitable, Iterable, Sequence
from typing import Any, Protocol

from spec_envs.attributes import attribute_of
from spec_envs.calls import Call
from spec_envs.checks import as_number
from spec_envs.errors import InvalidConfiguration
from spec_envs.parameters import why_not_called
from spec_envs.values import own_copy


@dataclasses.dataclass(frozen=True, slots=True)
class Guess:
    """A possible response to a call, with the probability (0 to 1) that it is the real response."""

    response: Any
    probability: float

    def __post_init__(self) -> None:
        probability = self.probability if type(self.probability) is float else as_number(self.probability)
        if not 0.0 <= probability <= 1.0:
            raise InvalidConfiguration(f"probability of a guess must lie in [0, 1], not {self.probability!r:.80}")
        if probability is not self.probability:
            object.__setattr__(self, "probability", probability)


def check_guesser(name: str, guesser: object, method: str = "guess") -> None:
    """Check the argument ``name``, a guesser, or a prefetcher, whose ``method`` is "prefetch".

    Raises:
        InvalidConfiguration: It is a class, or has no such method, or a method that cannot be called with a call (or a
            situation) and a number of guesses; or its ``observe`` cannot be called with a call and a response.
    """
    known = inspect.getattr_static(guesser, method, None)
    if isinstance(guesser, type) and not isinstance(known, staticmethod | classmethod):
        raise InvalidConfiguration(f"{name} must be an object, not the class {guesser.__name__}: make one")
    given = {method: ("situation" if method == "prefetch" else "call", "number k"), "observe": ("call", "response")}
    for each, places in given.items():
        function = attribute_of(guesser, each)
        if not callable(function):
            if each == method:
                hint = (
                    "; CallableGuesser makes a guesser of a function" if method == "guess" and callable(guesser) else ""
                )
                raise InvalidConfiguration(
                    f"{name} is {guesser!r:.80}, which has no method {method}({places[0]}, k){hint}"
                )
            continue
        if (why := why_not_called(function, places, ("cancel", "early") if each == method else ())) is not None:
            raise InvalidConfiguration(f"{name} is {guesser!r:.80}, whose {each}() cannot be called: {why}")


def owned_guesses(guesser: object, guesses: object, most: int | None = None) -> tuple[Guess, ...]:
    """The first ``most`` ``guesses`` of ``guesser``, with copies of their responses: a guesser may reuse its buffers.

    Raises:
        InvalidConfiguration: ``guesses`` is not an iterable of ``Guess``; the message shows what it is.
        NotCopyable: A response can change and cannot be copied.
    """
    if type(guesses) is list and _PLAIN.issuperset(map(type, guesses[:most])):  # as most often
        return tuple([_owned(each) for each in guesses[:most]])
    if isinstance(guesses, Guess) or not isinstance(guesses, Iterable):
        wrong: list[Any] = [guesses]
    else:
        collected = tuple(itertools.islice(guesses, most))  # there may be no end of them
        wrong = [each for each in collected if not isinstance(each, Guess)]
        if not wrong:
            return tuple([_owned(each) for each in collected])
    raise InvalidConfiguration(
        f"{type(guesser).__name__} returned {wrong[0]!r:.80}; a guesser returns a sequence of "
        f"Guess(response, probability), empty where it has none"
    )


_PLAIN = frozenset({Guess})


def _owned(guess: Guess) -> Guess:
    response = own_copy(guess.response)
    return guess if response is guess.response and type(guess) is Guess else Guess(response, guess.probability)


class Guesser(Protocol):
    """Predicts responses: fast, cheap, often free, and allowed to be wrong, slow or broken.

    ``guess`` runs beside the episode, on any thread. A guesser may also have ``observe(call, response)``, called in
    order with what really happened, and learn from it. A guesser with the attribute ``frugal = True`` gives those
    guesses that cost nothing where ``cancel.may_spend`` is ``False``; any other guesser is not asked there.
    """

    def guess(self, call: Call, k: int, /, *_: Any, **options: Any) -> Sequence[Guess]:
        """Guess the response to ``call``. A method ``guess(self, call, k)`` is enough.

        Args:
            call: The call whose response is not there yet.
            k: How many guesses are wanted at most.
            **options: Passed to a guesser that has parameters of these names. ``cancel`` is the ``CancelToken`` of this
                prediction. ``early`` is a function of a sequence of guesses, for a guesser that has some guesses long
                before the others: they are used at once, and what ``guess`` returns replaces them.

        Returns:
            At most ``k`` guesses, in any order.
        """
        ...


class AsyncGuesser(Protocol):
    """A guesser that lives on an event loop, for ``AsyncSpeculativeWrapper``: all its methods are called there.

    So ``observe``, if it has one, is a plain function that returns at once.
    """

    def guess(self, call: Call, k: int, /, *_: Any, **options: Any) -> Awaitable[Sequence[Guess]]:
        """Guess the response to ``call``: a coroutine function, with arguments and result as in ``Guesser``."""
        ...


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
            **options: ``cancel`` and ``early``, as for ``Guesser.guess``, for a prefetcher that has parameters of these
                names.

        Returns:
            At most ``k`` actions, each as a ``Guess`` with the probability that its reads are needed. The probabilities
            need not sum to 1, since several actions may be needed.
        """
        ...
