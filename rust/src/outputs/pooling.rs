//! Hidden states → one row a text.

use super::{Array, Outcome, Part, RowError};
use crate::batch::Inputs;
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
            Self::LastToken => Part::Last,
            Self::Mean => Part::Mean,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// A graph's output: a state for each token, or one for each text where the graph took the rows itself.
#[derive(Debug, Clone, Copy)]
pub struct HiddenStates<'a> {
    /// Numbers of one state.
    pub hidden: usize,
    inputs: &'a Inputs,
    of_tokens: bool,
    values: &'a [f32],
}

impl<'a> HiddenStates<'a> {
    /// Checks the shape against the texts and tokens that went in.
    ///
    /// # Errors
    /// [`Error::ModelFormat`] for an output that is neither `[rows, length, hidden]` nor `[rows, hidden]`.
    pub fn new(Array { shape, values }: Array<'a>, inputs: &'a Inputs) -> Result<Self> {
        let sizes: Vec<usize> = shape.iter().filter_map(|&size| usize::try_from(size).ok()).collect();
        let of_tokens = sizes.len() == 3;
        match *sizes.as_slice() {
            [rows, length, hidden] if [rows, length] == inputs.shape => Ok(Self { hidden, inputs, of_tokens, values }),
            [rows, hidden] if rows == inputs.rows => Ok(Self { hidden, inputs, of_tokens, values }),
            _ => Err(Error::ModelFormat(format!(
                "the graph's output has shape {shape:?}; expected [{}, {}, hidden] or [{}, hidden]",
                inputs.shape[0], inputs.shape[1], inputs.rows
            ))),
        }
    }

    /// The row of each text after pooling, cut and normalization.
    ///
    /// # Errors
    /// [`RowError::NotFinite`] with the first row that is not finite.
    pub fn pool(&self, pooling: Pooling, finish: Finish) -> Outcome<Vec<Vec<f32>>> {
        let dimension = finish.length(self.hidden);
        let row_of = |(row, &length): (usize, &usize)| {
            let first = if self.of_tokens { self.inputs.first(row) } else { row };
            let state = |token: usize| self.values[(first + token) * self.hidden..][..dimension].to_vec();
            let mut taken = match pooling {
                Pooling::Mean if self.of_tokens => {
                    mean(&self.values[first * self.hidden..], self.hidden, length, dimension)
                }
                Pooling::LastToken if self.of_tokens => state(length - 1),
                _ => state(0),
            };
            if taken.iter().any(|x| !x.is_finite()) {
                return Err(RowError::NotFinite { row });
            }
            if finish.normalize {
                normalize(&mut taken);
            }
            Ok(taken)
        };
        self.inputs.lengths.iter().enumerate().map(row_of).collect()
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
    use crate::batch::{Batch, InputRules, Layout, Positions};
    use crate::tokenizer::Tokens;

    const PLAIN: Finish = Finish { truncate_dim: None, normalize: false };

    /// Of texts of these lengths, padded to two tokens or one behind the other.
    fn inputs(lengths: &[usize], layout: Layout) -> Inputs {
        let texts: Vec<Tokens> =
            lengths.iter().map(|&total| Tokens { ids: vec![7; total], total, first: total }).collect();
        let batch = Batch { rows: (0..texts.len()).collect(), length: 2, layout };
        Inputs::new(&batch, &texts, InputRules { pad_id: 0, positions: Positions::FromZero, typed_pairs: false })
    }

    fn pool(values: &[f32], pooling: Pooling, finish: Finish, lengths: &[usize]) -> Outcome<Vec<Vec<f32>>> {
        let array = Array { shape: &[2, 2, 2], values };
        HiddenStates::new(array, &inputs(lengths, Layout::Masked)).expect("shape fits").pool(pooling, finish)
    }

    fn rows(values: &[f32], pooling: Pooling, finish: Finish, lengths: &[usize]) -> Vec<Vec<f32>> {
        pool(values, pooling, finish, lengths).expect("finite")
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
    fn packed_texts_begin_where_the_one_before_ends() {
        let (values, inputs) = ([1.0, 2.0, 3.0, 6.0, 5.0, 6.0], inputs(&[1, 2], Layout::Packed));
        let states = HiddenStates::new(Array { shape: &[1, 3, 2], values: &values }, &inputs).expect("shape fits");
        let rows = |pooling| states.pool(pooling, PLAIN).expect("finite");
        assert_eq!(rows(Pooling::Cls), [[1.0, 2.0], [3.0, 6.0]]);
        assert_eq!(rows(Pooling::Mean), [[1.0, 2.0], [4.0, 6.0]]);
        assert_eq!(rows(Pooling::LastToken), [[1.0, 2.0], [5.0, 6.0]]);
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
        let outcome = pool(&values, Pooling::Cls, PLAIN, &[2, 2]);
        assert!(matches!(outcome, Err(RowError::NotFinite { row: 1 })));
    }

    #[test]
    fn takes_rows_the_graph_already_took() {
        let inputs = inputs(&[2, 1], Layout::Masked);
        let states = |shape, values| HiddenStates::new(Array { shape, values }, &inputs);
        let taken = states(&[2, 2], &[1.0, 2.0, 3.0, 4.0]).expect("shape fits");
        assert_eq!(taken.pool(Pooling::Mean, PLAIN).expect("finite"), [[1.0, 2.0], [3.0, 4.0]]);
        assert!(states(&[3, 2], &[0.0; 6]).is_err());
    }
}
