"""The exact k-nearest-neighbour classifier: no network and no step, the training images themselves are the model.

Arrays name their axes: M training images, N images that are asked about (Q of them in a tile), D values of an image,
K neighbours, C classes.
"""
