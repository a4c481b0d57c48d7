"""``spec-envs bench tools``: what does ``SpeculativeTools`` save an agent whose loop an SDK runs?"""
