"""Policies and guessers for ``SpecSearch-v0``. Import them from ``spec_envs.agents``.

Policies: ``react_policy`` prompts a chat model; ``scripted_policy`` (with ``question_reading`` and ``notes``)
understands only generated questions and pages; ``solution_replay`` repeats a known solution.

Guessers: ``action_guesser`` predicts the agent's next action. ``situation`` and ``spans`` read an observation,
``candidates`` lists the possible actions with their features, ``action_model`` ranks them, and ``past_actions``
remembers what came next in earlier episodes. ``page_guesser`` predicts pages; ``recorded_guesser`` repeats the guesses
of a recorded episode.
"""
