"""The retraining loop as Prefect flows: monitor drift, retrain, compare with the champion, and roll out."""
