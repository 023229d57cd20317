"""Search spaces: the values that a sweep may try for keys of its recipe."""
