"""Readable networks, one a file. Each takes images_NHWC uint8 and gives logits_NK float32."""
