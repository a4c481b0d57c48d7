"""A guesser of an agent's tool calls that learns patterns of calls and of where their arguments come from.

In the spirit of PASTE (arXiv 2603.18897): what agents ask is diverse, but which calls follow which, and which values
flow from a result into an argument, comes again.
"""

from spec_envs.agents.pattern.guesser import PatternGuesser

__all__ = ["PatternGuesser"]
