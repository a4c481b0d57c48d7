"""Whose responses are guessed, and when: the most probable nodes first, as far as there are places for guessers.

Pure, like the tree that owns it: time only enters as a number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from spec_envs.wrappers.speculation.tree.nodes import Ask, Command, Node, Run, Unask
from spec_envs.wrappers.speculation.tree.pace import Pace

if TYPE_CHECKING:
    from spec_envs.guesses import Guess
    from spec_envs.wrappers.speculation.tree.limits import Limits
    from spec_envs.wrappers.speculation.tree.planner import Planner


class Asking:
    """Keeps the nodes that are to be guessed, and those that are being guessed; issues ``Ask`` and ``Unask``."""

    def __init__(self, limits: Limits, planner: Planner, commands: list[Command]) -> None:
        self._limits = limits
        self._planner = planner
        self._commands = commands
        self._pace = Pace()
        self._waiting: dict[Node, None] = {}
        self._asked: set[Node] = set()

    @property
    def num_not_asked(self) -> int:
        """Responses that were not guessed because the guess was expected to come after them."""
        return self._pace.num_not_asked

    def add(self, node: Node) -> None:
        """Have ``node`` guessed when there is a place for it."""
        self._waiting[node] = None

    def ask(self, root: Node, now: float) -> None:
        """Ask for as many nodes as there are places, the most probable first."""
        if not self._waiting:
            return
        places = self._limits.max_inflight + 1 if self._limits.max_inflight else 0
        self._waiting = {node: None for node in self._waiting if node.call is not None}
        for node in sorted(self._waiting, key=lambda node: -node.score):
            if len(self._asked) >= places:
                return
            if not self._may_ask(node, root):
                continue
            del self._waiting[node]
            if self._pace.pays(node):
                node.asked = node.asking = True
                self._asked.add(node)
                self._planner.asked(node, now)
                self._commands.append(Ask(node))
            else:
                node.unasked = True

    def _may_ask(self, node: Node, root: Node) -> bool:
        ahead = node.run is not None and node.run.ahead
        return (not ahead or self._limits.windows_ahead) and self._planner.reaches(node, root, extra_depth=1)

    def guessed(self, node: Node, guesses: Sequence[Guess], now: float, *, early: bool) -> None:
        """The guesser asked about ``node`` has returned, or has something to say before (``early``)."""
        if node not in self._asked:
            raise ValueError(f"node {node.id} is not being guessed")
        first = node.guessed is None and (bool(guesses) or not early)
        if first and node.call is not None:
            self._pace.guessed(node, self._planner.guessing_s(node, now), empty=not guesses)
        if not early:
            self._asked.discard(node)
            self._planner.guessed(node, max((guess.probability for guess in guesses), default=0.0), now)
            node.asking = False

    def drop(self, node: Node) -> None:
        """Guesses for ``node`` are of no use any more: it is answered, or gone."""
        self._waiting.pop(node, None)
        if node.asking:
            self._commands.append(Unask(node))

    def called(self, run: Run) -> None:
        """The call of ``run`` was answered: how long it took tells how long the next may take."""
        self._pace.called(run.call.handler, run.ended_at - run.started_at)
