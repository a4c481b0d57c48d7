"""The machinery under ``SpeculativeWrapper``: a pure tree, and the thin things that carry out what it says.

``tree`` decides. Its parts are ``branches`` (which nodes there are), ``runs`` and ``reads`` (their calls as they are
made), ``asking`` and ``pace`` (which are guessed), ``planner`` (what is best and may start), within ``limits``; all of
them handle ``nodes``. ``episode`` makes a Gymnasium environment into what the tree holds at its nodes. ``driver``
carries out the tree's commands on a runtime (``threads``, ``simulation``) and keeps ``trace`` and ``statistics``.
``certify`` checks that nothing but time has changed.
"""
