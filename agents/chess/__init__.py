"""Policies and guessers for ``SpecChess-v0``. Import them from ``spec_envs.agents``.

``policies`` has the policies, ``engine_guessers`` the guessers that rank moves with an engine, and
``recorded_guesser`` the guesser that repeats the guesses of a recorded game.
"""
