"""The facts of the generated world: its places, people, organisations and works."""
