"""What is measured of a window of the log."""
