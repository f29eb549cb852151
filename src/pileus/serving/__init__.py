"""The packed model answers over HTTP: the page and the API. Imports neither torch nor training."""
