"""The endpoints, one module a group: each reads a request, asks the shop, and writes the answer."""
