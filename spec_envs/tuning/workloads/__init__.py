"""Workloads: immutable values that say what runs and which knobs may be set."""
