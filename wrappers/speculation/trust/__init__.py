"""Whether forks and the policy can be relied on: what they may share with the program, seen before it does harm.

Forks: ``forks`` decides. ``rehearsal`` and ``replays`` make steps on forks and compare, ``outside``, ``digests`` and
``process_state`` say what else has changed, ``watch`` looks in every step. ``fork_steps`` and ``contexts`` keep the
steps of forks apart, and ``lending`` sees what the user changes between two steps.

Policies: ``policy_state`` sees whether a call changes them, ``reach`` what they use beside their observation;
``records`` and ``code_names`` read their code.
"""
