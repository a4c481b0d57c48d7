"""Customers that the package brings: a script, a person at the terminal, and a recorded conversation."""
