"""A gang in processes that another library places: what the engines share that are such."""
