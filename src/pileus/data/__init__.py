"""Sources, splits, order, augmentation and batches: from labelled images to what a step takes."""
