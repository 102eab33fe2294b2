"""Settings of sources, validation, cleaning and splits."""
