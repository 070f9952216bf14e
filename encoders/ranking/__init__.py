"""Features for rankers that are made of vectors: one function for training and for serving."""
