"""Pages for people: Evidently's charts of a window, their workspace, and the history of the loop."""
