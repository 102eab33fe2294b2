"""Tests and limits on the measurements of two windows."""
