"""Chess: ``SpecChess-v0``, its positions, opponents and recorded games."""

from spec_envs.chess.env import ChessEnv
from spec_envs.chess.games import RecordedGame, RecordedPlayer
from spec_envs.chess.opponents import BuiltinOpponent, HumanOpponent, RandomOpponent, StockfishOpponent
from spec_envs.chess.position import Position

__all__ = [
    "BuiltinOpponent",
    "ChessEnv",
    "HumanOpponent",
    "Position",
    "RandomOpponent",
    "RecordedGame",
    "RecordedPlayer",
    "StockfishOpponent",
]
