"""Photographs of real people from folders: listing, labels, splits, and the public data sets known by name."""
