"""Pages: the run's report, the loop's history, Evidently's charts."""
