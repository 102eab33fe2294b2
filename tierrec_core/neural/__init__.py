"""What the deep models share: the training loop, its curves, and network modules."""
