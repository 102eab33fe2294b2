"""The project folder: params, lock, snapshots and releases."""
