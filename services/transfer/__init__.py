"""Exports and imports users, items and events as JSON lines or Parquet, streamed and resumable."""
