"""Features of users, items and pairs, and training examples made of them."""
