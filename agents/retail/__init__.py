"""Policies for ``SpecRetail-v0``, and a chat model as customer and as judge. Import them from ``spec_envs.agents``."""
