"""Birds that are drawn on the spot, and their captions."""
