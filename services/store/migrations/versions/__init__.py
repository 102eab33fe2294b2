"""One module a migration, named in the order in which they run."""
