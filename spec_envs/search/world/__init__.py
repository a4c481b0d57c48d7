"""A made-up world: its places, people, organisations and works, the pages about them, and questions."""
