"""Policies for ``SpecRetail-v0``, and a customer that a chat model plays. Import them from ``spec_envs.agents``."""
