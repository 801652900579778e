"""From the name of a model to its files, read, checked and opened."""
