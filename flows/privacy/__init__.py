"""Forgetting a user: erasure, removal of old objects, and a scan that finds every remaining trace."""
