"""Users, items and events in and out, as JSONL or Parquet: streamed, and taken up again where it stopped."""
