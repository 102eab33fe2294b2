"""The processes of a stack, run by supervisor."""
