"""The model objects: classes, what callers pass in, and what they get back."""
