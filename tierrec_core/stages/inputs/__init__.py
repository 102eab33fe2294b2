"""What several stages read."""
