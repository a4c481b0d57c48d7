"""Policies and guessers for ``SpecChess-v0``. Import them from ``spec_envs.agents``.

``policies`` has the policies, and ``guessers`` the guessers: by an engine, or from a recorded game.
"""
