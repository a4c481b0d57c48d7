"""Questions about the generated world, with their answers."""
