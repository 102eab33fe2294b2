"""The data gate on Great Expectations."""
