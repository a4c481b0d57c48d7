"""The commands of ``spec-envs``. A command imports what it runs when it runs, so that ``--help`` is quick."""
