"""Policies and guessers for ``SpecChess-v0``. Import them from ``spec_envs.agents``.

``policies`` has the policies, ``guessers`` the guessers that use an engine or a recorded game, and ``move_guesser`` the
guesser that uses a fitted model of players.
"""
