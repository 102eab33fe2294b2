"""Data contracts, errors, paths, artefacts and settings types, used by all other packages."""
