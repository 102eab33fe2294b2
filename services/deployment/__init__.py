"""From a bundle to a tested, running Bento."""
