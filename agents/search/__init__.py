"""Policies and guessers for ``SpecSearch-v0``. Import them from ``spec_envs.agents``.

Policies: ``react_policy`` prompts a chat model; ``scripted_policy`` has a reader that understands only generated
questions and pages (with ``generated_text``), and the replay of a known solution.

Guessers: ``action_guesser`` predicts the agent's next action. ``situation`` and ``spans`` read an observation,
``candidates`` lists the possible actions with their features, and ``action_model`` ranks the actions and remembers
those of earlier episodes. ``page_guesser`` predicts pages; ``recorded_guesser`` repeats the guesses of a recorded
episode.
"""
