"""Semantic inpainting: what is missing of an image, found in the latent space of a trained generator.

Yeh et al. 2016, "Semantic image inpainting with deep generative models", arXiv:1607.07539. The plugin brings the command
`ganflow inpaint`; a recipe has nothing to name of it, for it works on runs that are trained already.
"""
