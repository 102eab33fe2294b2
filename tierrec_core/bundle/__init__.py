"""What the service loads: models, rankers, policy and precomputed lists."""
