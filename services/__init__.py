"""The recommendation service: its HTTP API, and how it is packaged as a tested Bento."""
