"""Time zones, and the order of days and months, of times in files."""
