"""What each engine costs here: the same work, data and weights, by local processes, Ray, Dask and Spark."""
