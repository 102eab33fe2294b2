"""From a list request to a page."""
