"""Top-k selection, sparse matrix operations, nearest neighbours and closed-form solvers."""
