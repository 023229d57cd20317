"""ganflow from Python: train, load, sample, evaluate and sweep. The commands of the same names are these functions with words
around them."""
