"""Builds, smoke-tests and runs the Bento of a bundle."""
