"""Prompts by domain: ``base`` has their form, ``named`` finds the prompts of this library by their names."""
