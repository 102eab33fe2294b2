"""Recommender core: data, models, ranking and evaluation, without orchestration, serving or monitoring."""
