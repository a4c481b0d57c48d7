"""The machinery under ``SpeculativeWrapper``: a pure tree, and the thin modules that carry out its commands.

``tree`` decides which branches there are, which calls are started and which responses are predicted. ``episode`` makes
a Gymnasium environment into the snapshots that the tree holds at its nodes. ``driver`` carries out the tree's commands
on a runtime (``wrappers.runtimes``), ``guessing`` those that concern guessers; ``ledger`` keeps ``trace`` and
``statistics``. ``timing`` decides whether running ahead pays, ``trust`` whether forks can be relied on. ``session``
joins all of them to one wrapped environment.
"""
