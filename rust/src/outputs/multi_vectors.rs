//! Multi-vector output: a vector for every token of a text but the first.

use std::str::FromStr;

use super::{Array, Finish, normalize};
use crate::batch::Inputs;
use crate::{Error, Result};

/// How a call keeps the vectors of its texts. Either way they are in memory once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// An allocation for each text, which may outlive the others.
    Separate,
    /// One matrix.
    Joined,
}

impl FromStr for Layout {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "separate" => Ok(Self::Separate),
            "joined" => Ok(Self::Joined),
            _ => Err(Error::Internal(format!("multi-vectors as {name}"))),
        }
    }
}

/// The vectors of all texts of a call, in their order.
#[derive(Debug, Clone, PartialEq)]
pub enum MultiVectors {
    /// For each text `(tokens - 1) × dimension` numbers.
    Separate(Vec<Vec<f32>>),
    /// Those of text `i` are `offsets[i] .. offsets[i + 1]`, `dimension` numbers each.
    Joined {
        /// One more than there are texts.
        offsets: Vec<usize>,
        /// All numbers.
        values: Vec<f32>,
    },
}

impl MultiVectors {
    /// Of no text yet.
    #[must_use]
    pub fn new(layout: Layout) -> Self {
        match layout {
            Layout::Separate => Self::Separate(vec![]),
            Layout::Joined => Self::Joined { offsets: vec![0], values: vec![] },
        }
    }

    /// Adds texts with so many tokens.
    pub(crate) fn add(&mut self, tokens: impl Iterator<Item = usize>) {
        match self {
            Self::Separate(texts) => texts.extend(tokens.map(|_| vec![])),
            Self::Joined { offsets, .. } => {
                for count in tokens {
                    offsets.push(offsets.last().copied().unwrap_or_default() + count.max(1) - 1);
                }
            }
        }
    }

    /// Takes the vectors of a text that was added.
    pub(crate) fn put(&mut self, text: usize, vectors: Vec<f32>, dimension: usize) {
        match self {
            Self::Separate(texts) => texts[text] = vectors,
            Self::Joined { offsets, values } => {
                values.resize(offsets.last().copied().unwrap_or_default() * dimension, 0.0);
                values[offsets[text] * dimension..offsets[text + 1] * dimension].copy_from_slice(&vectors);
            }
        }
    }
}

/// For each text of a batch its vectors, cut and normalized; before them their dimension.
#[expect(clippy::type_complexity, reason = "a dimension, and vectors or the text with a number that is not finite")]
pub(crate) fn token_vectors(
    inputs: &Inputs,
    array: Array,
    finish: Finish,
) -> Result<(usize, std::result::Result<Vec<Vec<f32>>, usize>)> {
    let width = token_width("colbert_vecs", inputs, array)?;
    let dimension = finish.length(width);
    let mut texts = Vec::with_capacity(inputs.rows);
    for (row, &length) in inputs.lengths.iter().enumerate() {
        let start = row * inputs.length;
        let stored = &array.values[(start + 1) * width..(start + length.max(1)) * width];
        let mut rows = Vec::with_capacity(stored.len() / width * dimension);
        for vector in stored.chunks(width) {
            rows.extend_from_slice(&vector[..dimension]);
        }
        if rows.iter().any(|x| !x.is_finite()) {
            return Ok((dimension, Err(row)));
        }
        if finish.normalize {
            rows.chunks_mut(dimension).for_each(normalize);
        }
        texts.push(rows);
    }
    Ok((dimension, Ok(texts)))
}

/// Numbers a token of an output `[rows, length, width]`.
pub(crate) fn token_width(name: &str, inputs: &Inputs, array: Array) -> Result<usize> {
    let sizes: Vec<usize> = array.shape.iter().filter_map(|&size| usize::try_from(size).ok()).collect();
    match *sizes.as_slice() {
        [rows, length, width] if rows == inputs.rows && length == inputs.length && width > 0 => Ok(width),
        _ => Err(Error::ModelFormat(format!(
            "{name} has the shape {:?}; expected [{}, {}, width]",
            array.shape, inputs.rows, inputs.length
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_layouts_hold_the_same_vectors_in_whatever_order_they_come() {
        let (mut separate, mut joined) = (MultiVectors::new(Layout::Separate), MultiVectors::new(Layout::Joined));
        for all in [&mut separate, &mut joined] {
            all.add([3, 1, 2].into_iter());
            all.put(2, vec![5.0, 6.0], 2);
            all.put(0, vec![1.0, 2.0, 3.0, 4.0], 2);
            all.put(1, vec![], 2);
            all.add([0, 2].into_iter());
            all.put(4, vec![7.0, 8.0], 2);
        }
        assert_eq!(
            separate,
            MultiVectors::Separate(vec![vec![1.0, 2.0, 3.0, 4.0], vec![], vec![5.0, 6.0], vec![], vec![7.0, 8.0]])
        );
        let values = vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
        assert_eq!(joined, MultiVectors::Joined { offsets: vec![0, 2, 2, 3, 3, 4], values });
    }
}
