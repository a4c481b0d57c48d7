"""A generated world: facts about its places, people, organisations and works; a wiki about them; and questions."""
