"""Checkpoints made of checkpoints, file by file and without torch: mixed models, merged adapters."""
