"""The commands: what the driver is to do for the speculation tree, and what the tree reports of its nodes.

Commands are never changed. They are not frozen, because to make a frozen command takes three times as long.
"""

import dataclasses
from typing import Any

from spec_envs.wrappers.speculation.tree.nodes import Node, Run


@dataclasses.dataclass(slots=True)
class Start:
    """Make the call of ``run``. Report its end with ``responded``, ``failed`` or, if it was cancelled, ``stopped``."""

    run: Run


@dataclasses.dataclass(slots=True)
class Cancel:
    """Nobody waits for ``run`` any more: tell its handler. Still report when the handler has returned."""

    run: Run


@dataclasses.dataclass(slots=True)
class Predict:
    """Have a guesser predict the response to the node's call. Report its guesses with ``guessed``."""

    node: Node  # the node
    may_spend: bool = True  # whether predicting may cost anything; otherwise only frugal guessers are called


@dataclasses.dataclass(slots=True)
class StopPredicting:
    """Guesses for the node are of no use any more: tell its guesser. Still report when the guesser has returned."""

    node: Node


@dataclasses.dataclass(slots=True)
class Committed:
    """A response became final, and the root moved on."""

    node: Node  # the node that was the root
    child: Node  # the node that is the root now
    response: Any  # the final response to the call of ``node``
    run: Run | None  # the execution that gave the response; ``None`` where the user chose the response
    shared: bool  # whether the response of this execution was committed before (a ``READ``)
    predicted: bool  # whether a guesser was put to work on the response
    claims: tuple[float, ...] = ()  # the probabilities that the guesser claimed for its guesses, the greatest first
    rank: int | None = None  # the place of the right guess in ``claims``; ``None`` if no guess was right


@dataclasses.dataclass(slots=True)
class Discarded:
    """The episode cannot come to the node any more."""

    node: Node


Command = Start | Cancel | Predict | StopPredicting | Committed | Discarded
