"""The models. Each file holds one, with its Config beside it; they do not know of one another."""
