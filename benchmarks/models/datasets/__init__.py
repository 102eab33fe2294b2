"""Data sets whose split others fixed."""
