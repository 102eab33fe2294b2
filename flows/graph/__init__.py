"""The DVC stage graph, and the processes that run its stages."""
