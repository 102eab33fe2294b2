"""Settings of sources, cleaning and splits."""
