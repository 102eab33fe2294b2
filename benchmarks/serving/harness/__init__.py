"""Load generator and the servers that it is pointed at."""
