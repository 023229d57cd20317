"""TODO."""

OFFERS: list = []
