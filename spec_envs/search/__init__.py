"""Multi-hop web search: ``SpecSearch-v0``."""
