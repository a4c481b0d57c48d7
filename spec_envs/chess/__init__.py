"""Chess: ``SpecChess-v0``, its positions, encodings, engines and opponents."""
