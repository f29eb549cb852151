"""Raw input to the model's input: ONE set of functions for training, the API and the tests."""
