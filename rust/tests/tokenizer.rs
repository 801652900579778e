//! The tokenizer on the repository's tiny checkpoints.
