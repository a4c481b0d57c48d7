"""What the wrapper saves and what it costs, measured; and the command line ``spec-envs`` that measures it."""
