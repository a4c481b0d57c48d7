"""What the backends need of the operating system: cores, scheduler slices, load, and the journal of settings."""
