"""Other servers with the same ONNX file, and how they are measured. Run in an environment of their own."""
