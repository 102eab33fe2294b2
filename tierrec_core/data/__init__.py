"""Raw sources to cleaned events, interactions and splits."""
