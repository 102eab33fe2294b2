"""Which release answers which users."""
