"""Folders of images: pairs, and two domains that do not belong together."""
