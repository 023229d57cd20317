"""Building blocks of several plugins, for anyone's use. It offers no component; import its modules.

`blocks`: checks, sizes, norms, the output's range, initial weights. `stacks`: layers one after another. `files`, `framing` and
`split`: the images of a folder, cut to squares, and which are kept from training. `cache`: what took long to compute.
`drawing`: scenes made on the spot.
"""
