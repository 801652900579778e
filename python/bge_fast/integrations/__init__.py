"""Adapters: models as other libraries want them. Each file imports its library; this imports nothing."""
