"""The interface of the workers of ``rollouts``, wherever they are; and the worker that is this process."""

from __future__ import annotations

import abc
import collections

from spec_envs.wrappers.workers.player import Plan, Played, Player


class Crew(abc.ABC):
    """Workers that play episodes.

    Args:
        size: How many workers there are.
    """

    def __init__(self, size: int) -> None:
        self.size = size

    @property
    def most_begun(self) -> int:
        """The number of episodes that may be begun and not taken yet, so that no worker waits for its next episode."""
        return 2 * self.size

    @abc.abstractmethod
    def begin(self, place: int, seed: int, guessers: bytes | None) -> None:
        """Have an episode played, as soon as there is a worker for it.

        Args:
            place: The place of the episode among all.
            seed: The seed of the episode.
            guessers: Pickled guessers for this episode alone; ``None``: those that the worker has.
        """

    @abc.abstractmethod
    def next_played(self) -> tuple[int, Played]:
        """Wait for the next episode that is done, and return its place and the episode."""


class Here(Crew):
    """This process: an episode is played when it is waited for.

    Args:
        plan: The plan of all episodes.
    """

    def __init__(self, plan: Plan) -> None:
        super().__init__(1)
        self._player = Player(plan)
        self._begun: collections.deque[tuple[int, int]] = collections.deque()

    @property
    def most_begun(self) -> int:
        """One, since nothing goes on meanwhile."""
        return 1

    def begin(self, place: int, seed: int, guessers: bytes | None) -> None:
        """Remember the episode; its guessers are those of the plan."""
        self._begun.append((place, seed))

    def next_played(self) -> tuple[int, Played]:
        """Play the episode that was begun first."""
        place, seed = self._begun.popleft()
        return place, self._player.play(seed)
