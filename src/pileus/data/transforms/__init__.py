"""Augmentation, one family of transforms a file; `pipeline` puts them in their order."""
