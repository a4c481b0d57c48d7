"""Adapters for programs and packages of others. The rest of the library does not import this package."""
