"""Offline evaluation: accuracy metrics, bootstrap intervals, audits beyond accuracy, leaderboard and promotion gate."""
