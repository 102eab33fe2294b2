"""HTML pages: the run report, the loop's history, and a window's Evidently charts."""
