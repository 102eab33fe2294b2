"""The processes of a stack under supervisor."""
