"""Where calls run, and by which clock: threads, an event loop, or one thread in virtual time."""
