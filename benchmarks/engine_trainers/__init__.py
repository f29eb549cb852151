"""The trainers of the libraries that place, on clusters of their own; each script is a cold start."""
