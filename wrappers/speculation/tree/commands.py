"""The commands: what the speculation tree has its driver do, and what it reports of its nodes.

They are never changed, but to make a frozen one takes thrice as long.
"""

import dataclasses
from typing import Any

from spec_envs.wrappers.speculation.tree.nodes import Node, Run


@dataclasses.dataclass(slots=True)
class Start:
    """Make the call of ``run``; report with ``responded``, ``failed`` or, if it was cancelled, ``stopped``."""

    run: Run


@dataclasses.dataclass(slots=True)
class Cancel:
    """Nobody waits for ``run`` any more: tell its handler, which still reports when it has returned."""

    run: Run


@dataclasses.dataclass(slots=True)
class Predict:
    """Have a guesser predict the response to the node's call; report with ``guessed``."""

    node: Node  # the node
    may_spend: bool = True  # whether predicting may cost anything; otherwise only frugal guessers are called


@dataclasses.dataclass(slots=True)
class StopPredicting:
    """Guesses for the node are of no use any more: tell its guesser, which still reports when it has returned."""

    node: Node


@dataclasses.dataclass(slots=True)
class Committed:
    """A response became final, and the root moved on."""

    node: Node  # the node that was the root
    child: Node  # the node that is the root now
    response: Any  # the final response to the call of ``node``
    run: Run | None  # the execution that gave the response; ``None`` where the user chose the response
    shared: bool  # whether a response of that execution was committed before (a ``READ``)
    predicted: bool  # whether a guesser was to predict the response
    claims: tuple[float, ...] = ()  # the probabilities that its guesser had claimed for its guesses, the greatest first
    rank: int | None = None  # the place in ``claims`` of the guess that was right; ``None`` if none was


@dataclasses.dataclass(slots=True)
class Discarded:
    """The episode cannot come to the node any more."""

    node: Node


Command = Start | Cancel | Predict | StopPredicting | Committed | Discarded
