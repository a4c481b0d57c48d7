"""Prompts by domain; ``base`` has their form."""
