"""The other side of the board: engines, a random mover, and a person at the terminal.

Each is a handler, ``opponent(position, cancel) -> move`` in UCI notation. Its ``effect`` says when it may be called:

* ``BuiltinOpponent``, ``StockfishOpponent`` and ``RandomOpponent`` are ``READ``, since they are pure functions of the
  query: equal calls may share one execution, because a second one would give the same move.
* ``HumanOpponent`` is ``WRITE``: a person is asked once, for a position of the real game.
"""

import random
from typing import Any, ClassVar, Protocol, TextIO

import chess

from spec_envs.calls import Effect
from spec_envs.checks import integer, integer_or_none, number
from spec_envs.chess.builtin import best_move
from spec_envs.chess.engine import EnginePool
from spec_envs.chess.notation import only_move
from spec_envs.chess.position import Position
from spec_envs.chess.render import board_in_letters
from spec_envs.chess.uci import Line
from spec_envs.closing import Closing
from spec_envs.errors import InvalidConfiguration
from spec_envs.handling import CancelToken, Handler
from spec_envs.terminal import Terminal


class Opponent(Protocol):
    """A handler that answers a position with a move in UCI notation."""

    effect: ClassVar[Effect]

    def __call__(self, query: Any, cancel: CancelToken | None = None) -> str:
        """The move to play in ``query``."""
        ...


class BuiltinOpponent:
    """Plays what the built-in engine plays.

    Args:
        depth: Plies searched before only captures count.
    """

    effect: ClassVar[Effect] = Effect.READ

    def __init__(self, depth: int = 1) -> None:
        self.depth = integer("depth", depth, least=1)

    def __call__(self, query: Any, cancel: CancelToken | None = None) -> str:
        """The move to play in ``query``; ``InvalidConfiguration`` if the game is over in the position."""
        if cancel is not None:
            cancel.raise_if_cancelled()
        return best_move(Position.of(query).board(), self.depth).uci()


class RandomOpponent:
    """Plays a random legal move, drawn by the query's own seed, so that equal queries have equal answers.

    Args:
        seed: Added to the seed in the query, so that another seed plays other games.
    """

    effect: ClassVar[Effect] = Effect.READ

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def __call__(self, query: Any, cancel: CancelToken | None = None) -> str:
        """The move to play in ``query``; ``InvalidConfiguration`` if the game is over in the position."""
        position = Position.of(query)
        return _rng(position, self.seed).choice(_legal_moves(position))


class StockfishOpponent(Closing):
    """Plays what Stockfish plays, limited by nodes or depth, never by time, so that equal queries have equal answers.

    Stockfish's own skill levels draw random numbers by the clock. So a weaker opponent searches as deep as the level
    allows, and then chooses a move by Stockfish's rule, with a random number drawn from the query's seed.

    Args:
        depth: Plies to search. Default: 8, if ``nodes`` is not given either.
        nodes: Nodes to search.
        skill: Skill level from 0 (weak) to 20 (full strength).
        elo: Instead of ``skill``: a rating from 1350 to 2850, which is translated to a skill level as in Stockfish.
        pool: The engines to use; the caller closes the pool. Default: the opponent's own pool, which ``close`` closes.
    """

    effect: ClassVar[Effect] = Effect.READ

    def __init__(
        self,
        *,
        depth: int | None = None,
        nodes: int | None = None,
        skill: float | None = None,
        elo: int | None = None,
        pool: EnginePool | None = None,
    ) -> None:
        if skill is not None and elo is not None:
            raise InvalidConfiguration(f"give skill or elo, not both (skill={skill!r}, elo={elo!r})")
        if elo is not None:
            skill = ((number("elo", elo, least=1350, most=2850) - 1346.6) / 143.4) ** (1 / 0.806)
        self.skill = 20.0 if skill is None else number("skill", skill, least=0, most=20)
        self.nodes = integer_or_none("nodes", nodes, least=1)
        self.depth = integer_or_none("depth", 8 if depth is None and nodes is None else depth, least=1)
        self._pool = pool or EnginePool()
        self._owns_pool = pool is None

    def __call__(self, query: Any, cancel: CancelToken | None = None) -> str:
        """The move to play in ``query``.

        Raises:
            InvalidConfiguration: The game is over in the position.
            HandlerFailed: The engine gave no answer.
            CallCancelled: The call was cancelled meanwhile.
        """
        position = Position.of(query)
        _legal_moves(position)
        if self.skill >= 20:
            return self._pool.analyse(position, depth=self.depth, nodes=self.nodes, cancel=cancel)[0].move
        depth = min(self.depth or 20, 1 + int(self.skill))
        lines = self._pool.analyse(position, depth=depth, nodes=self.nodes, multipv=4, cancel=cancel)
        return _weakened(lines, self.skill, _rng(position, 0))

    def close(self) -> None:
        """Stop the engines of the opponent's own pool. Idempotent."""
        if self._owns_pool:
            self._pool.close()


class HumanOpponent:
    """Asks a person at the terminal, again and again until the answer is a legal move.

    Args:
        input: The file from which answers are read, line by line. Default: standard input.
        output: The file to which board and questions are written. Default: standard output.
    """

    effect: ClassVar[Effect] = Effect.WRITE

    def __init__(self, input: TextIO | None = None, output: TextIO | None = None) -> None:
        self._terminal = Terminal(input, output)

    def __call__(self, query: Any, cancel: CancelToken | None = None) -> str:
        """The move that the person types, as UCI (``g1f3``), in the usual notation (``Nf3``), or in words.

        Raises:
            HandlerFailed: The input ended.
            InvalidConfiguration: The game is over in the position.
        """
        position = Position.of(query)
        _legal_moves(position)
        board = position.board()
        side = "White" if board.turn else "Black"
        return self._terminal.ask(
            f"\n{board_in_letters(board, board.turn)}\n\n{side} to move.",
            "Your move (? lists the legal ones): ",
            lambda text: self._read(board, text),
            cancel,
            awaited=f"{side}'s move in {board.fen()}",
        )

    def _read(self, board: chess.Board, text: str) -> str | None:
        if text in ("", "?"):
            legal = " ".join(f"{board.san(move)} ({move.uci()})" for move in board.legal_moves)
            self._terminal.say(f"Legal: {legal}")
            return None
        move = only_move(board, text)
        if move is None:
            example = next(iter(board.legal_moves))
            self._terminal.say(
                f"{text!r:.80} is not one legal move here. Type the move alone, such as {example.uci()} or "
                f"{board.san(example)}; ? lists all."
            )
        return move


_OPPONENTS: dict[str, type[Opponent]] = {
    "builtin": BuiltinOpponent,
    "stockfish": StockfishOpponent,
    "random": RandomOpponent,
    "human": HumanOpponent,
}


def opponent_of(opponent: str | Handler) -> tuple[Handler, bool]:
    """The handler for the argument ``opponent``, and whether it was made here, so that the environment closes it.

    Raises:
        InvalidConfiguration: ``opponent`` is neither a callable nor a known name.
    """
    if isinstance(opponent, str) and opponent in _OPPONENTS:
        return _OPPONENTS[opponent](), True
    if isinstance(opponent, str) or not callable(opponent):
        known = ", ".join(map(repr, _OPPONENTS))
        raise InvalidConfiguration(f"opponent must be a callable or one of {known}, not {opponent!r}")
    return opponent, False


def _legal_moves(position: Position) -> tuple[str, ...]:
    moves = position.legal_moves
    if not moves:
        raise InvalidConfiguration(f"there is no legal move to choose from in {position.board(stack=False).fen()}")
    return moves


def _rng(position: Position, seed: int) -> random.Random:
    # Seeded by text: stable over processes, which the hash of a tuple of texts is not.
    return random.Random(f"{seed}|{position.seed}|{position.start_fen}|{' '.join(position.moves)}")


def _weakened(lines: list[Line], level: float, rng: random.Random) -> str:
    """Stockfish's rule for skill levels: the weaker the level, the more often a worse move is chosen."""
    top, weakness = lines[0].score, 120 - 2 * level
    spread = min(top - lines[-1].score, 100)

    def pushed(line: Line) -> float:
        return line.score + (weakness * (top - line.score) + spread * rng.randrange(int(weakness))) / 128

    return max([(pushed(line), line.move) for line in lines])[1]
