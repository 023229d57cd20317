"""Birds that are drawn on the spot, and what is said of them."""
