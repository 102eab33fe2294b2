"""What ingest reads: patterns of files, deliveries, forgotten users, and a manifest by which DVC notices changes."""
