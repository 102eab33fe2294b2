"""Curves of deep models in TensorBoard and Weights & Biases."""
