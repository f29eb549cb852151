"""Readable networks, one a file. Each takes images_NHWC uint8 and gives logits_NK float32.

They pool before the ReLU: the two commute, and the ReLU then has a quarter of the work.
"""
