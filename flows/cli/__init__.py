"""The `tierrec` command line."""
