"""Exports and imports users, items and events as JSON lines or Parquet, as resumable streams."""
