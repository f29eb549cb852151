"""Readable networks, one a file. Each takes images_NHWC uint8 and gives logits_NK float32.

The small ones pool before the ReLU: the two commute, and the ReLU then has a quarter of the work. Those that
torchvision has too keep its order, and so its names of parameters.
"""
