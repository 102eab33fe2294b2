"""The service room: what answers requests, and how it becomes a tested Bento."""
