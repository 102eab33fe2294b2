"""The files that a source of kind `files` reads: patterns, deliveries, and a manifest by which DVC notices changes."""
