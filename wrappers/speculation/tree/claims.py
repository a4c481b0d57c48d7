"""The claims of guessers about nodes: merged, corrected by how earlier claims turned out, and learned from.

Pure, like the tree that owns it.
"""

from collections.abc import Hashable, Iterable, Mapping

from spec_envs.guesses import Guess
from spec_envs.values import key_or_itself
from spec_envs.wrappers.estimates import GuesserEstimate
from spec_envs.wrappers.speculation.tree.nodes import Node


class Claims:
    """The last guesses for each node, with the probabilities that their guesser claimed.

    Args:
        guessers: The estimate of each handler's guesser.
        calibrate: Whether probabilities are corrected.
    """

    def __init__(self, guessers: Mapping[str, GuesserEstimate], calibrate: bool) -> None:
        self._guessers = guessers
        self._calibrate = calibrate
        self._claims: dict[Node, dict[Hashable, float]] = {}

    def corrected(self, node: Node, guesses: Iterable[Guess]) -> dict[Hashable, Guess]:
        """The guesses by their keys, with corrected probabilities, the most probable first. Equal guesses are merged.

        Guesses for a side branch have no outcome to learn from, so their probabilities are not corrected.
        """
        merged: dict[Hashable, Guess] = {}
        for guess in guesses:
            key = key_or_itself(guess.response)
            known = merged.get(key)
            merged[key] = (
                guess if known is None else Guess(known.response, min(1.0, known.probability + guess.probability))
            )
        merged = _best_first(merged)
        if node.side_branch is not None or node.call is None:
            return merged
        claims = [guess.probability for guess in merged.values()]
        if claims and node.alive and not node.answered:
            self._claims[node] = dict(zip(merged, claims, strict=True))
        if not self._calibrate:
            return merged
        corrected = self._guessers[node.call.handler].calibration.corrected(claims)
        if corrected == claims:
            return merged
        pairs = zip(merged.items(), corrected, strict=True)
        return _best_first({key: Guess(guess.response, probability) for (key, guess), probability in pairs})

    def learn(self, node: Node, key: Hashable) -> tuple[tuple[float, ...], int | None]:
        """Learn from the final response to the call of ``node``: the response with the key ``key``.

        Returns:
            The claims, the greatest first; and the place of the right guess among them, or ``None`` if no guess was
            right.
        """
        claims = self._claims.get(node)
        if not claims or node.call is None:
            return (), None
        right = list(claims).index(key) if key in claims else None
        if self._calibrate:
            self._guessers[node.call.handler].calibration.observe(list(claims.values()), right)
        return tuple(claims.values()), right

    def forget(self, node: Node) -> None:
        """``node`` is no longer part of the tree."""
        self._claims.pop(node, None)


def _best_first(guesses: Mapping[Hashable, Guess]) -> dict[Hashable, Guess]:
    if len(guesses) < 2:
        return dict(guesses)
    return dict(sorted(guesses.items(), key=lambda item: -item[1].probability))
