"""The commands of ``spec-envs``, one module each; what a command needs is imported when it runs."""
