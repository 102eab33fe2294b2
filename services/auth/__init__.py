"""API keys, scopes, and limits on size and rate."""
