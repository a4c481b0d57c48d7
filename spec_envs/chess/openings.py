"""A few well-known openings by name, to start games from."""

from __future__ import annotations

from types import MappingProxyType

#: Moves in UCI notation from the usual start position, by name.
OPENINGS = MappingProxyType(
    {
        "benoni": "d2d4 g8f6 c2c4 c7c5 d4d5",
        "caro-kann": "e2e4 c7c6 d2d4 d7d5",
        "catalan": "d2d4 g8f6 c2c4 e7e6 g2g3",
        "dutch": "d2d4 f7f5",
        "english": "c2c4 e7e5",
        "four-knights": "e2e4 e7e5 g1f3 b8c6 b1c3 g8f6",
        "french": "e2e4 e7e6 d2d4 d7d5",
        "grunfeld": "d2d4 g8f6 c2c4 g7g6 b1c3 d7d5",
        "italian": "e2e4 e7e5 g1f3 b8c6 f1c4",
        "kings-gambit": "e2e4 e7e5 f2f4",
        "kings-indian": "d2d4 g8f6 c2c4 g7g6 b1c3 f8g7",
        "london": "d2d4 d7d5 g1f3 g8f6 c1f4",
        "nimzo-indian": "d2d4 g8f6 c2c4 e7e6 b1c3 f8b4",
        "petrov": "e2e4 e7e5 g1f3 g8f6",
        "pirc": "e2e4 d7d6 d2d4 g8f6 b1c3 g7g6",
        "queens-gambit-accepted": "d2d4 d7d5 c2c4 d5c4",
        "queens-gambit-declined": "d2d4 d7d5 c2c4 e7e6",
        "queens-indian": "d2d4 g8f6 c2c4 e7e6 g1f3 b7b6",
        "reti": "g1f3 d7d5 c2c4",
        "ruy-lopez": "e2e4 e7e5 g1f3 b8c6 f1b5",
        "scandinavian": "e2e4 d7d5",
        "scotch": "e2e4 e7e5 g1f3 b8c6 d2d4",
        "sicilian": "e2e4 c7c5",
        "sicilian-najdorf": "e2e4 c7c5 g1f3 d7d6 d2d4 c5d4 f3d4 g8f6 b1c3 a7a6",
        "slav": "d2d4 d7d5 c2c4 c7c6",
        "vienna": "e2e4 e7e5 b1c3",
    }
)
