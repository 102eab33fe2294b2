"""The served catalogue, filters on it, and cursors for paging."""
