def served_model(name): raise NotImplementedError
