"""Programs that measure in processes of their own, and how the backends talk to them."""
