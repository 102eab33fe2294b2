"""Data gate, drift detection, reports and simulation."""
