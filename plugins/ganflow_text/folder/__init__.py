"""Folders of pictures with captions."""
