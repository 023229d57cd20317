"""Networks of StackGAN."""
