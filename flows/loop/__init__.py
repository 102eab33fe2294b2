"""The loop as Prefect flows: watch, retrain, hold against the champion, release; and what keeps the flows apart."""
