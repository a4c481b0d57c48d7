"""``SpecChess-v0``: the agent plays one side of a game of chess, and a handler plays the other side."""

import functools
import hashlib
from collections.abc import Mapping
from typing import Any, ClassVar, Self, SupportsIndex

import chess
import numpy as np
from numpy.typing import NDArray

from spec_envs.brief import brief, quoted
from spec_envs.call_env import CallEnv
from spec_envs.calls import Call, Effect
from spec_envs.checks import (
    as_integer,
    begun,
    boolean,
    can_render,
    check_under_way,
    choice,
    integer_or_none,
    read_options,
    render_mode_of,
)
from spec_envs.chess.encoding import NUM_ACTIONS, action_mask, decode_action, planes
from spec_envs.chess.game import Game
from spec_envs.chess.opponents import opponent_of
from spec_envs.chess.position import Position, brief_position
from spec_envs.chess.render import board_as_picture, board_as_text, game_as_pgn
from spec_envs.chess.spaces import MoveIndex, MoveText, observation_space
from spec_envs.chess.start import START_OPTIONS, Start, first_moves
from spec_envs.errors import HandlerFailed, InvalidAction, InvalidConfiguration
from spec_envs.handling import Handler, declared_effect

Observation = dict[str, str] | NDArray[np.bool_]
Action = str | SupportsIndex

_COLORS = {"white": chess.WHITE, "black": chess.BLACK}


class ChessEnv(CallEnv[Observation, Action]):
    """The agent plays one side of a game of chess against an opponent that takes its time.

    ## Description
    Chess by the rules of FIDE, as python-chess has them. The agent plays one side. The other side is a handler named
    ``"opponent"``: an engine, a language model, a person, any function. One step is the agent's move and the opponent's
    reply.

    ## Action Space
    With ``action_format="uci"`` (the default) a ``Text``: a move in UCI notation, such as ``"e2e4"``, ``"e1g1"``
    (castling) or ``"a7a8q"`` (promotion). With ``action_format="index"`` a ``Discrete(4672)``: AlphaZero's 8x8x73
    encoding in exactly the order of PettingZoo's ``chess_v6``, mirrored for black; ``info["action_mask"]`` marks the
    legal actions, and ``spec_envs.chess.encoding`` translates moves and actions. ``action_space.sample()`` draws a
    *legal* move.

    ## Observation Space
    With ``observation="text"`` (the default) a ``Dict`` of ``Text``, which holds the whole state of the game:

    | key           | value                                                                    |
    |---------------|--------------------------------------------------------------------------|
    | `fen`         | the position                                                             |
    | `turn`        | "white" or "black": whose move it is                                     |
    | `history`     | the moves since `start_fen` in UCI notation, separated by spaces         |
    | `legal_moves` | the legal moves in UCI notation, sorted, separated by spaces             |
    | `start_fen`   | the position that `history` starts from                                  |

    With ``observation="planes"`` a ``Box(0, 1, (8, 8, 111), bool)``: exactly the planes of PettingZoo's ``chess_v6``,
    from the agent's side (see ``spec_envs.chess.encoding.planes``). As in ``chess_v6``, the planes show no
    pieces before the first move from the usual start position. Other start positions, which ``chess_v6`` does not have,
    are shown.

    ## Starting State
    The usual position, or that of ``fen``; or the end of the main line of ``pgn``, or of a named ``opening``. The moves
    of a PGN or an opening count as played: they are in ``history``, and repetitions of their positions are repetitions.
    ``opening="random"`` draws an opening in each ``reset``. If it is not the agent's turn, ``reset`` asks for the
    opponent's first move. ``reset(options=...)`` takes ``fen``, ``pgn`` or ``opening``, and ``color``, for one game.

    ## Rewards
    +1 for a win, -1 for a loss (or a forfeit), 0 for a draw and as long as the game goes on.

    ## Episode End
    *Terminated*: checkmate, stalemate, insufficient material, seventy-five moves, fivefold repetition; with
    ``claim_draw`` also fifty moves and threefold repetition, which the player to move claims at once, even if only that
    player's next move would complete them; with ``illegal="forfeit"`` an illegal or unreadable move of the agent.
    *Truncated*: after ``max_plies`` half moves of both sides in this episode.

    If the opponent's first move, in ``reset``, ends the game, the first ``step`` ends the episode, whatever its action.

    ## Info
    | key             | value                                                                               |
    |-----------------|-------------------------------------------------------------------------------------|
    | `color`         | "white" or "black": the agent's side                                                |
    | `ply`           | half moves played in this episode                                                   |
    | `last_move`     | the last move of either side in UCI notation, or None                               |
    | `opponent_move` | the opponent's move in this step, or None                                           |
    | `outcome`       | None, the name of a `chess.Termination` such as "CHECKMATE", or "FORFEIT"           |
    | `winner`        | "white", "black" or None                                                            |
    | `action_mask`   | with `action_format="index"`: int8 array of 4672, 1 where the agent's move is legal |
    | `legal_moves`   | with planes and UCI moves, as in the text observation                               |

    ## Arguments
    - ``opponent``: "builtin" (default), "stockfish", "random", "human", or a callable ``opponent(position, cancel)``
      (or ``opponent(position)``) that takes a ``Position`` and returns a move in UCI notation. Its attribute
      ``effect``, if it has one, says whether it may be called ahead of time. The environment does not close a callable.
    - ``color``: the agent's side, "white" (default) or "black".
    - ``max_plies``: truncate after this number of half moves; ``None`` (default) for no limit.
    - ``fen``, ``pgn``, ``opening``: the start position; give at most one of the three.
    - ``action_format``: "uci" (default) or "index". ``observation``: "text" (default) or "planes".
    - ``illegal``: "raise" (default) raises ``InvalidAction`` and leaves the game as it is; "forfeit" loses it.
    - ``claim_draw``: whether the players claim every draw that can be claimed (default ``True``).
    - ``render_mode``: ``None``, "ansi" (text) or "rgb_array" (a picture; needs the extra ``render``).

    ## Forking
    A game is an immutable value, so forks share it; a fork takes a few microseconds, however long the game is. A fork
    has its own random generator, in the same state, and its own action space. Handlers are shared.

    ## Latency
    One call in each step, ``Call("opponent", Position(...))``; none if the agent's move ends the game. The position
    holds a seed, a function of the episode's seed and the ply, so equal games make equal calls.

    ## Version History
    - v0: initial version.
    """

    metadata: dict[str, Any] = {"render_modes": ["ansi", "rgb_array"], "render_fps": 1}
    shared_on_fork: ClassVar[frozenset[str]] = frozenset({"game", "_start", "_effect", "_action_space"})

    def __init__(
        self,
        *,
        opponent: str | Handler = "builtin",
        color: str = "white",
        max_plies: int | None = None,
        fen: str | None = None,
        pgn: str | None = None,
        opening: str | None = None,
        action_format: str = "uci",
        observation: str = "text",
        illegal: str = "raise",
        claim_draw: bool = True,
        render_mode: str | None = None,
    ) -> None:
        self._default_color: str = choice("color", color, tuple(_COLORS))
        self._max_plies = integer_or_none("max_plies", max_plies, least=1)
        self._by_index = choice("action_format", action_format, ("uci", "index")) == "index"
        self._as_planes = choice("observation", observation, ("text", "planes")) == "planes"
        self._forfeits = choice("illegal", illegal, ("raise", "forfeit")) == "forfeit"
        self.render_mode = render_mode_of(self, render_mode)
        self._claim_draw = boolean("claim_draw", claim_draw)
        self._start = Start.of(claim_draw=self._claim_draw, fen=fen, pgn=pgn, opening=opening)
        handler, is_new = opponent_of(opponent)
        super().__init__({"opponent": handler}, owned=["opponent"] if is_new else [])
        self._opponent_name = opponent if isinstance(opponent, str) else getattr(opponent, "__name__", "opponent")
        self._effect = declared_effect("opponent", handler) or Effect.SAMPLE
        #: The agent's side in this episode.
        self.color: chess.Color = _COLORS[color]
        self.observation_space = observation_space(observation)
        self._action_space: MoveText | MoveIndex | None = None
        #: The game so far; ``None`` before the first ``reset``. Immutable.
        self.game: Game | None = None
        self._plies_given = 0
        self._episode_seed = 0
        self._is_over = False
        self._forfeited = False

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start a new game; ``options`` may hold ``fen``, ``pgn`` or ``opening``, and ``color``, for this game only.

        Raises:
            InvalidConfiguration: An option is unknown or has a value that makes no sense.
            HandlerFailed: The opponent has the first move, and it is illegal.
        """
        self._check_open()
        given = read_options(options, (*START_OPTIONS, "color"))
        color = choice("color", given.pop("color", self._default_color), tuple(_COLORS))
        start = Start.of(claim_draw=self._claim_draw, **given) if given else self._start
        super().reset(seed=seed)
        episode_seed = int(self.np_random.integers(2**32))
        game = start.draw(self.np_random)
        plies_given, reply = len(game.moves), None
        if game.board.turn != _COLORS[color]:
            reply = self._ask_opponent(game, episode_seed)
            game = game.after(reply)
        self._episode_seed, self._plies_given = episode_seed, plies_given
        self.game, self.color = game, _COLORS[color]
        self._is_over = self._forfeited = False
        return self._observation(), self._info(reply)

    def step(self, action: Action) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Make the agent's move, and the opponent's after it.

        Raises:
            InvalidAction: The action cannot be read or is illegal, and ``illegal`` is "raise".
            ResetNeeded: No game is under way.
            HandlerFailed: The opponent's move is illegal.
        """
        self._check_open()
        game, reply = begun(self.game), None
        if self._is_over:
            check_under_way(self._outcome(game) or "max_plies reached")
        if not self._ends(game):  # it may have ended with the opponent's first move, in reset
            try:
                move = self._read(action, game)
            except InvalidAction:
                if not self._forfeits:
                    raise
                self._forfeited = self._is_over = True
                return self._observation(), -1.0, True, False, self._info(None)
            game = game.after(move)
            if not self._ends(game):
                reply = self._ask_opponent(game, self._episode_seed)
                game = game.after(reply)
        self.game = game
        terminated = game.outcome is not None
        truncated = not terminated and self._ends(game)
        self._is_over = terminated or truncated
        return self._observation(), self._reward(game), terminated, truncated, self._info(reply)

    @property
    def position(self) -> Position:
        """The position that a policy or an opponent is given, an immutable value.

        Raises:
            ResetNeeded: Before the first ``reset``.
        """
        return self._position(begun(self.game), self._episode_seed)

    @property
    def action_space(self) -> MoveText | MoveIndex:  # type: ignore[override]  # made when asked for
        """The moves; ``sample()`` draws a legal one. Each fork has a space, and a generator for it, of its own."""
        if self._action_space is None:
            self._action_space = MoveIndex(self) if self._by_index else MoveText(self)
        return self._action_space

    def fork(self) -> Self:
        """An independent game in the same position; see *Forking* in the class."""
        twin = super().fork()
        twin._action_space = None
        return twin

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_action_space": None}  # made when asked for, by each environment itself

    def action_masks(self) -> NDArray[np.bool_]:
        """Which actions are legal: a mask of 4672, as ``MaskablePPO`` of sb3-contrib asks for it.

        Raises:
            InvalidConfiguration: Moves are text; make the environment with ``action_format="index"``.
            ResetNeeded: Before the first ``reset``.
        """
        if not self._by_index:
            raise InvalidConfiguration('moves as text have no mask; make the environment with action_format="index"')
        return action_mask(begun(self.game), self.color).astype(np.bool_)

    def first_moves(self) -> tuple[str, ...]:
        """The moves that are legal after ``reset()`` in any case, whatever is drawn and whatever the opponent plays."""
        return first_moves(self._start, _COLORS[self._default_color])

    def render(self) -> Any:
        """The board from the agent's side: text for "ansi", an array of shape (480, 480, 3) for "rgb_array"."""
        if not can_render(self):
            return None
        if self.render_mode == "ansi":
            return board_as_text(begun(self.game), self.color, forfeited=self._forfeited)
        return board_as_picture(begun(self.game), self.color)

    def pgn(self) -> str:
        """The game so far as PGN; its result is "*" unless the game has come to its end.

        Raises:
            ResetNeeded: Before the first ``reset``.
        """
        game = begun(self.game)
        result = game.outcome.result() if game.outcome else "*"
        termination = "normal" if game.outcome else "unterminated"
        if self._forfeited:
            result, termination = ("0-1" if self.color == chess.WHITE else "1-0"), "rules infraction"
        names = {self.color: "agent", not self.color: self._opponent_name}
        white, black = names[chess.WHITE], names[chess.BLACK]
        return game_as_pgn(game, white=white, black=black, result=result, termination=termination)

    def _ends(self, game: Game) -> bool:
        if game.outcome is not None:
            return True
        limit = self._max_plies
        return limit is not None and len(game.moves) - self._plies_given >= limit

    def _read(self, action: Action, game: Game) -> str:
        if not self._by_index:
            try:
                return game.read(action)
            except ValueError as error:
                raise InvalidAction(str(error)) from None
        index = as_integer(action)
        if index is None:
            raise InvalidAction(f"an action is an integer from 0 to {NUM_ACTIONS - 1}, not {quoted(action)}")
        try:
            return game.read(decode_action(index, game.board).uci())
        except ValueError as error:
            raise InvalidAction(f"action {action}: {error}") from None

    @property
    def trace_view(self) -> str:  # type: ignore[override]
        """A board, where moves are text."""
        return "transcript" if self._by_index else "chess"

    @staticmethod
    def brief(value: Any) -> str:
        """The last move, where ``value`` is an observation."""
        if isinstance(value, dict) and "history" in value and "start_fen" in value:
            return brief_position(value["start_fen"], value["history"].split())
        return brief_position(value.start_fen, value.moves) if type(value) is Position else brief(value)

    def _position(self, game: Game, episode_seed: int) -> Position:
        return Position.in_game(game, _seed_at(episode_seed, len(game.moves)))

    def _ask_opponent(self, game: Game, episode_seed: int) -> str:
        query = self._position(game, episode_seed)
        reply = self.ask(Call("opponent", query, self._effect, touches="opponent"))
        try:
            return game.read(reply)
        except ValueError as error:
            raise HandlerFailed(f"the opponent's move cannot be played: {error}") from None

    def _reward(self, game: Game) -> float:
        outcome = game.outcome
        if outcome is None or outcome.winner is None:
            return 0.0
        return 1.0 if outcome.winner == self.color else -1.0

    def _outcome(self, game: Game) -> str | None:
        outcome = game.outcome
        return "FORFEIT" if self._forfeited else outcome.termination.name if outcome else None

    def _observation(self) -> Observation:
        game = begun(self.game)
        if self._as_planes:
            return planes(game, self.color)
        return game.texts.copy()

    def _info(self, reply: str | None) -> dict[str, Any]:
        game = begun(self.game)
        winner = (not self.color) if self._forfeited else game.outcome.winner if game.outcome else None
        info: dict[str, Any] = {
            "color": chess.COLOR_NAMES[self.color],
            "ply": len(game.moves) - self._plies_given,
            "last_move": game.moves[-1] if game.moves else None,
            "opponent_move": reply,
            "outcome": self._outcome(game),
            "winner": None if winner is None else chess.COLOR_NAMES[winner],
        }
        if self._by_index:
            info["action_mask"] = action_mask(game, self.color)
        elif self._as_planes:
            info["legal_moves"] = " ".join(game.legal_moves)
        return info


@functools.lru_cache(maxsize=1024)  # the real episode and its forks come to the same plies
def _seed_at(episode_seed: int, ply: int) -> int:
    """The seed of a position: from the episode's seed and the ply, so that every fork asks with the same seed."""
    digest = hashlib.blake2b(f"{episode_seed}/{ply}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little")
