//! Multi-vector output: a vector for every token of a text but the first.

use std::str::FromStr;

use super::pooling::normalize;
use super::{Array, Finish, Outcome, RowError};
use crate::batch::Inputs;
use crate::memory::{reserve, room_for};
use crate::{Error, Result};

/// How a call keeps the vectors of its texts. Either way they are in memory once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// An allocation for each text, which may outlive the others.
    Separate,
    /// One matrix.
    Joined,
}

impl FromStr for Kept {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "separate" => Ok(Self::Separate),
            "joined" => Ok(Self::Joined),
            _ => Err(Error::Internal(format!("multi-vectors as {name}"))),
        }
    }
}

/// The vectors of a text's tokens but the first, `dimension` numbers each.
#[derive(Debug)]
pub(crate) struct TokenVectors {
    dimension: usize,
    values: Vec<f32>,
}

/// The vectors of all texts of a call, in their order.
#[derive(Debug)]
pub struct MultiVectors {
    /// Numbers of a vector; 0 where there is no text.
    pub dimension: usize,
    /// All of them.
    pub texts: Texts,
}

/// How they lie in memory.
#[derive(Debug, PartialEq)]
pub enum Texts {
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
    pub fn new(kept: Kept) -> Self {
        let texts = match kept {
            Kept::Separate => Texts::Separate(vec![]),
            Kept::Joined => Texts::Joined { offsets: vec![0], values: vec![] },
        };
        Self { dimension: 0, texts }
    }

    /// Adds a text with so many tokens.
    pub(crate) fn add(&mut self, tokens: usize) {
        match &mut self.texts {
            Texts::Separate(texts) => texts.push(vec![]),
            Texts::Joined { offsets, .. } => {
                offsets.push(offsets.last().copied().unwrap_or_default() + tokens.max(1) - 1);
            }
        }
    }

    /// Adds a text that is the same as `first`.
    pub(crate) fn add_again(&mut self, first: usize) {
        let tokens = match &self.texts {
            Texts::Separate(_) => 0,
            Texts::Joined { offsets, .. } => offsets[first + 1] - offsets[first] + 1,
        };
        self.add(tokens);
    }

    /// Takes the vectors of a text that was added.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub(crate) fn put(&mut self, text: usize, vectors: TokenVectors) -> Result<()> {
        let TokenVectors { dimension, values: numbers } = vectors;
        self.dimension = dimension;
        match &mut self.texts {
            Texts::Separate(texts) => texts[text] = numbers,
            Texts::Joined { offsets, values } => {
                let all = offsets.last().copied().unwrap_or_default() * dimension;
                grow(values, all)?;
                values[offsets[text] * dimension..offsets[text + 1] * dimension].copy_from_slice(&numbers);
            }
        }
        Ok(())
    }

    /// Gives the text at `place`, which was added, the vectors of the one at `first`.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub(crate) fn copy(&mut self, first: usize, place: usize) -> Result<()> {
        let dimension = self.dimension;
        match &mut self.texts {
            Texts::Separate(texts) => {
                let mut numbers = room_for(texts[first].len(), "multi-vectors")?;
                numbers.extend_from_slice(&texts[first]);
                texts[place] = numbers;
            }
            Texts::Joined { offsets, values } => {
                grow(values, offsets.last().copied().unwrap_or_default() * dimension)?;
                let of_first = offsets[first] * dimension..offsets[first + 1] * dimension;
                values.copy_within(of_first, offsets[place] * dimension);
            }
        }
        Ok(())
    }
}

fn grow(values: &mut Vec<f32>, all: usize) -> Result<()> {
    reserve(values, all.saturating_sub(values.len()), "multi-vectors")?;
    values.resize(all, 0.0);
    Ok(())
}

/// For each text of a batch its vectors, cut and normalized.
pub(crate) fn token_vectors(inputs: &Inputs, array: Array, finish: Finish) -> Outcome<Vec<TokenVectors>> {
    let width = token_width("colbert_vecs", inputs, array)?;
    let dimension = finish.length(width);
    let of_text = |(row, &length): (usize, &usize)| {
        let start = inputs.first(row);
        let stored = &array.values[(start + 1) * width..(start + length.max(1)) * width];
        let mut values = room_for(stored.len() / width * dimension, "multi-vectors")?;
        for vector in stored.chunks(width) {
            values.extend_from_slice(&vector[..dimension]);
        }
        if values.iter().any(|x| !x.is_finite()) {
            return Err(RowError::NotFinite { row });
        }
        if finish.normalize {
            values.chunks_mut(dimension).for_each(normalize);
        }
        Ok(TokenVectors { dimension, values })
    };
    inputs.lengths.iter().enumerate().map(of_text).collect()
}

/// Numbers a token of an output `[rows, length, width]`.
pub(crate) fn token_width(name: &str, inputs: &Inputs, array: Array) -> Result<usize> {
    let sizes: Vec<usize> = array.shape.iter().filter_map(|&size| usize::try_from(size).ok()).collect();
    match *sizes.as_slice() {
        [rows, length, width] if [rows, length] == inputs.shape && width > 0 => Ok(width),
        _ => Err(Error::ModelFormat(format!(
            "{name} has the shape {:?}; expected [{}, {}, width]",
            array.shape, inputs.shape[0], inputs.shape[1]
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_hold_the_same_vectors_in_whatever_order_they_come() {
        let of = |values: &[f32]| TokenVectors { dimension: 2, values: values.to_vec() };
        let (mut separate, mut joined) = (MultiVectors::new(Kept::Separate), MultiVectors::new(Kept::Joined));
        for all in [&mut separate, &mut joined] {
            for tokens in [3, 1, 2] {
                all.add(tokens);
            }
            all.put(2, of(&[5.0, 6.0])).expect("there is room");
            all.put(0, of(&[1.0, 2.0, 3.0, 4.0])).expect("there is room");
            all.put(1, of(&[])).expect("there is room");
            for tokens in [0, 2] {
                all.add(tokens);
            }
            all.put(4, of(&[7.0, 8.0])).expect("there is room");
            for first in [2, 1] {
                all.add_again(first);
            }
            all.copy(2, 5).expect("there is room");
            all.copy(1, 6).expect("there is room");
        }
        let texts =
            vec![vec![1.0, 2.0, 3.0, 4.0], vec![], vec![5.0, 6.0], vec![], vec![7.0, 8.0], vec![5.0, 6.0], vec![]];
        assert_eq!((separate.dimension, separate.texts), (2, Texts::Separate(texts)));
        let values = vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 5.0, 6.0];
        assert_eq!(
            (joined.dimension, joined.texts),
            (2, Texts::Joined { offsets: vec![0, 2, 2, 3, 3, 4, 5, 5], values })
        );
    }
}
