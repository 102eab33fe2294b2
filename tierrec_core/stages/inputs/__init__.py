"""Inputs that several stages share."""
