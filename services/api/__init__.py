"""The HTTP API: application, routes and middleware."""
