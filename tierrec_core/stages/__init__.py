"""One thin module a DVC stage: read, call, write."""
