"""The machinery under ``SpeculativeWrapper``: a pure tree, and the thin things that carry out what it says.

``tree`` decides; ``nodes``, ``limits`` and ``planner`` are its parts. ``episode`` makes a Gymnasium environment into
what the tree holds at its nodes. ``driver`` carries out the tree's commands on a runtime (``threads``, ``simulation``)
and keeps ``trace`` and ``statistics``. ``certify`` checks that nothing but time has changed.
"""
