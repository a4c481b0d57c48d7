"""A chat model\x27s server to measure against."""
