"""What several plugins are built of, and anyone's can be: layers and their sizes, stacks of them, a cache of what took long to
compute, drawn scenes. It offers no component. Import the modules: `from ganflow_layers.blocks import normalization`."""
