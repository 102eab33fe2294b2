"""Top-k selection, sparse weighting and closed-form solvers."""
