"""Text search and similar items."""
