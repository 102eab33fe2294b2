"""Probabilities of churn and of redeeming a coupon campaign."""
