"""One module per migration, named in the order in which they run."""
