//! Hidden states → one row a text.

use super::{Array, Outcome, Part, RowError};
use crate::{Error, Result};

/// How a text's row is taken from its tokens' hidden states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooling {
    /// The first token's hidden state.
    Cls,
    /// The mean over the text's tokens, special tokens included.
    Mean,
    /// The last token's hidden state.
    LastToken,
}

impl Pooling {
    /// What a graph must put out for it.
    #[must_use]
    pub fn part(self) -> Part {
        match self {
            Self::Cls => Part::Cls,
            Self::Mean | Self::LastToken => Part::HiddenStates,
        }
    }
}

impl std::str::FromStr for Pooling {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "cls" => Ok(Self::Cls),
            "mean" => Ok(Self::Mean),
            "last_token" => Ok(Self::LastToken),
            other => {
                let known = "\"cls\", \"mean\", \"last_token\"";
                Err(Error::Value(format!("pooling_method {other:?} is not one of {known}")))
            }
        }
    }
}

/// What is done to a row after it was taken.
#[derive(Debug, Clone, Copy)]
pub struct Finish {
    /// Keep this many leading components; more than there are keeps all.
    pub truncate_dim: Option<usize>,
    /// Divide by the L2 norm, after the cut.
    pub normalize: bool,
}

impl Finish {
    /// What is left of a vector of this length.
    #[must_use]
    pub fn length(self, full: usize) -> usize {
        self.truncate_dim.map_or(full, |dim| dim.min(full))
    }
}

/// A graph's output: shape `[rows, length, hidden]`, or `[rows, hidden]` where the graph took the rows itself.
#[derive(Debug, Clone, Copy)]
pub struct HiddenStates<'a> {
    /// Texts in the batch.
    pub rows: usize,
    /// Length of one vector.
    pub hidden: usize,
    /// Tokens of a text, padding included; `None` for rows already taken.
    pub length: Option<usize>,
    /// All numbers, row after row.
    pub values: &'a [f32],
}

impl<'a> HiddenStates<'a> {
    /// Checks shape against the number of texts and tokens that went in.
    ///
    /// # Errors
    /// [`Error::ModelFormat`] for an output that is neither `[rows, length, hidden]` nor `[rows, hidden]`.
    pub fn new(Array { shape, values }: Array<'a>, rows: usize, length: usize) -> Result<Self> {
        let sizes: Vec<usize> = shape.iter().filter_map(|&size| usize::try_from(size).ok()).collect();
        match *sizes.as_slice() {
            [r, l, hidden] if r == rows && l == length => Ok(Self { rows, hidden, length: Some(length), values }),
            [r, hidden] if r == rows => Ok(Self { rows, hidden, length: None, values }),
            _ => Err(Error::ModelFormat(format!(
                "the graph's output has shape {shape:?}; expected [{rows}, {length}, hidden] or [{rows}, hidden]"
            ))),
        }
    }

    /// The row of each text after pooling, cut and normalization; `lengths` are the texts' token counts without padding.
    ///
    /// # Errors
    /// [`RowError::NotFinite`] with the first row that is not finite.
    pub fn pool(&self, pooling: Pooling, finish: Finish, lengths: &[usize]) -> Outcome<Vec<Vec<f32>>> {
        let dimension = finish.length(self.hidden);
        let stride = self.length.unwrap_or(1) * self.hidden;
        let row_of = |row: usize| {
            let states = &self.values[row * stride..(row + 1) * stride];
            let mut taken = match pooling {
                Pooling::Mean if self.length.is_some() => mean(states, self.hidden, lengths[row], dimension),
                Pooling::LastToken if self.length.is_some() => {
                    states[(lengths[row] - 1) * self.hidden..][..dimension].to_vec()
                }
                _ => states[..dimension].to_vec(),
            };
            if taken.iter().any(|x| !x.is_finite()) {
                return Err(RowError::NotFinite { row });
            }
            if finish.normalize {
                normalize(&mut taken);
            }
            Ok(taken)
        };
        (0..self.rows).map(row_of).collect()
    }
}

fn mean(states: &[f32], hidden: usize, length: usize, dimension: usize) -> Vec<f32> {
    let mut sums = vec![0.0_f64; dimension];
    for state in states.chunks(hidden).take(length) {
        for (sum, &x) in sums.iter_mut().zip(state) {
            *sum += f64::from(x);
        }
    }
    sums.into_iter().map(|sum| narrow(sum / u32::try_from(length).map_or(f64::MAX, f64::from))).collect()
}

/// Divides by `max(‖row‖₂, 1e-12)`, the rule of `torch.nn.functional.normalize`.
pub(super) fn normalize(row: &mut [f32]) {
    let squares: f64 = row.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
    let norm = narrow(squares.sqrt()).max(1e-12);
    for x in row {
        *x /= norm;
    }
}

#[expect(clippy::cast_possible_truncation, reason = "sums are kept in f64, results are f32")]
fn narrow(x: f64) -> f32 {
    x as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Finish = Finish { truncate_dim: None, normalize: false };

    fn states(values: &[f32]) -> HiddenStates<'_> {
        HiddenStates::new(Array { shape: &[2, 2, 2], values }, 2, 2).expect("shape fits")
    }

    fn rows(values: &[f32], pooling: Pooling, finish: Finish, lengths: &[usize]) -> Vec<Vec<f32>> {
        states(values).pool(pooling, finish, lengths).expect("finite")
    }

    #[test]
    fn cls_is_the_first_token_and_mean_leaves_padding_out() {
        let values = [1.0, 2.0, 3.0, 6.0, 5.0, 6.0, f32::NAN, f32::NAN];
        let lengths = [2, 1];
        assert_eq!(rows(&values, Pooling::Cls, PLAIN, &lengths), [[1.0, 2.0], [5.0, 6.0]]);
        assert_eq!(rows(&values, Pooling::Mean, PLAIN, &lengths), [[2.0, 4.0], [5.0, 6.0]]);
        assert_eq!(rows(&values, Pooling::LastToken, PLAIN, &lengths), [[3.0, 6.0], [5.0, 6.0]]);
    }

    #[test]
    fn cut_comes_before_normalization() {
        let values = [3.0, 4.0, 0.0, 0.0, -2.0, 9.0, 0.0, 0.0];
        let finish = Finish { truncate_dim: Some(1), normalize: true };
        assert_eq!(rows(&values, Pooling::Cls, finish, &[2, 2]), [[1.0], [-1.0]]);
        let wide = Finish { truncate_dim: Some(99), normalize: true };
        assert_eq!(rows(&values, Pooling::Cls, wide, &[2, 2])[0], [0.6, 0.8]);
    }

    #[test]
    fn a_zero_row_stays_zero() {
        let finish = Finish { truncate_dim: None, normalize: true };
        assert_eq!(rows(&[0.0; 8], Pooling::Mean, finish, &[2, 2]), [[0.0; 2]; 2]);
    }

    #[test]
    fn names_the_row_that_is_not_finite() {
        let values = [1.0, 2.0, 0.0, 0.0, f32::INFINITY, 0.0, 0.0, 0.0];
        let outcome = states(&values).pool(Pooling::Cls, PLAIN, &[2, 2]);
        assert!(matches!(outcome, Err(RowError::NotFinite { row: 1 })));
    }

    #[test]
    fn takes_rows_the_graph_already_took() {
        let taken =
            HiddenStates::new(Array { shape: &[2, 2], values: &[1.0, 2.0, 3.0, 4.0] }, 2, 7).expect("shape fits");
        assert_eq!(taken.pool(Pooling::Cls, PLAIN, &[7, 3]).expect("finite"), [[1.0, 2.0], [3.0, 4.0]]);
        assert!(HiddenStates::new(Array { shape: &[3, 2], values: &[0.0; 6] }, 2, 7).is_err());
    }
}
