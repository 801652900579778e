//! What `torch.save` writes: a pickle that says what is where, and the numbers behind it. Since torch 1.6 in a zip, before that in one
//! stream.

mod legacy;
mod view;
mod zip;

pub(super) use self::legacy::is_legacy;
pub(super) use self::zip::is_zip;
use super::stored::Stored;
use crate::{Error, Result};

/// Bytes of the pickle; BGE-M3's takes 50 kB.
const MAX_PICKLE: usize = 64 << 20;

/// The tensors of the file `name`, whose bytes are of one of the two kinds.
pub(super) fn tensors(name: &str, bytes: &[u8]) -> Result<Vec<Stored>> {
    let tensors = if is_zip(bytes) { zip::tensors(bytes) } else { legacy::tensors(bytes) };
    tensors.map_err(|why| Error::ModelFormat(format!("{name} refused: {why}")))
}

#[cfg(test)]
pub(super) use self::zip::tests::saved;
