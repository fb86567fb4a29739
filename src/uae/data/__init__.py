"""Data sets: the catalogue, downloads and the prepared files."""
