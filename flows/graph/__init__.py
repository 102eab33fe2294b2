"""DVC's graph, and one stage as a process."""
