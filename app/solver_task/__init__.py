"""What a solver process receives, computes and returns for one portfolio; loads neither Litestar nor PyMongo."""
