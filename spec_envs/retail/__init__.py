"""Retail customer service: the shop's data, tools and tasks, in the form of tau-bench's retail domain."""
