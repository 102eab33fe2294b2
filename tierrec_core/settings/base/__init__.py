"""Base class of settings and search ranges."""
