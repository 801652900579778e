//! BGE-M3: dense, lexical and multi-vector output of one pass.

use std::collections::HashMap;

use crate::batch::{Batch, Inputs};
use crate::models::{EncodeOptions, place_rows};
use crate::models::{Model, WINDOW, Watch};
use crate::outputs::Array;
use crate::outputs::{Layout, MultiVectors, token_vectors, token_width};
use crate::outputs::{Outputs, Part};
use crate::{Error, Result};

/// What one call asks for.
#[derive(Debug, Clone)]
pub struct M3Options {
    /// As for a dense embedder; `finish` counts for the multi-vector output too.
    pub encode: EncodeOptions,
    /// One vector a text.
    pub dense: bool,
    /// Lexical weights; these ids get none.
    pub sparse: Option<Vec<u32>>,
    /// A vector for every token but the first.
    pub colbert: Option<Layout>,
}

impl M3Options {
    fn outputs(&self) -> Outputs {
        let wanted = [
            (self.dense, self.encode.pooling.part()),
            (self.sparse.is_some(), Part::Sparse),
            (self.colbert.is_some(), Part::Colbert),
        ];
        wanted.into_iter().filter(|(on, _)| *on).fold(Outputs::NONE, |set, (_, part)| set.with(part))
    }
}

/// Lexical weights of a text: ids in the order in which each first had a positive weight, with its largest weight.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Lexical {
    /// Token ids, each once.
    pub ids: Vec<u32>,
    /// Their weights, all positive.
    pub weights: Vec<f32>,
}

/// What a call gives, in the order of its texts; empty where it was not asked for.
#[derive(Debug, Default)]
pub struct M3Vectors {
    /// `texts × dimension` numbers.
    pub dense: Vec<f32>,
    /// Length of a dense vector.
    pub dimension: usize,
    /// One a text.
    pub sparse: Vec<Lexical>,
    /// Vectors of tokens.
    pub colbert: Option<MultiVectors>,
    /// Length of one of them; 0 where there is no text.
    pub colbert_dimension: usize,
    /// Texts that were cut to `max_length`.
    pub truncated: usize,
}

/// One batch's part of that.
struct BatchVectors {
    dense: Vec<f32>,
    sparse: Vec<Lexical>,
    colbert: Vec<Vec<f32>>,
    colbert_dimension: usize,
}

impl Model {
    /// Encodes `texts` in one pass for everything that is asked for. `watch` as in [`Model::encode`].
    ///
    /// # Errors
    /// Those of [`Model::encode`].
    pub fn encode_m3<T: AsRef<str> + Sync>(
        &self,
        texts: &[T],
        options: &M3Options,
        watch: &mut Watch,
    ) -> Result<M3Vectors> {
        let dimension = options.encode.finish.length(self.dimension());
        let count = |on| if on { texts.len() } else { 0 };
        let mut all = M3Vectors {
            dense: vec![0.0; count(options.dense) * dimension],
            dimension,
            sparse: vec![Lexical::default(); count(options.sparse.is_some())],
            colbert: options.colbert.map(MultiVectors::new),
            ..M3Vectors::default()
        };
        let limits = &options.encode.limits;
        let read = |inputs: &Inputs, arrays: &[Array]| self.read_m3(inputs, arrays, options);
        for (number, window) in texts.chunks(WINDOW).enumerate() {
            let first = number * WINDOW;
            let (tokens, cut) = self.tokenize(window, limits, first)?;
            all.truncated += cut;
            if let Some(colbert) = &mut all.colbert {
                colbert.add(tokens.iter().map(|text| text.ids.len()));
            }
            let mut put = |batch: &Batch, vectors: BatchVectors| all.put(first, batch, vectors);
            self.run(&tokens, limits.batch_size, options.outputs(), &read, &mut put, &mut |done| watch(first + done))
                .map_err(|error| error.name("texts", first))?;
        }
        Ok(all)
    }

    fn read_m3(
        &self,
        inputs: &Inputs,
        arrays: &[Array],
        options: &M3Options,
    ) -> Result<std::result::Result<BatchVectors, usize>> {
        let mut vectors = BatchVectors { dense: vec![], sparse: vec![], colbert: vec![], colbert_dimension: 0 };
        for (part, &array) in options.outputs().iter().zip(arrays) {
            let read = match part {
                Part::Sparse => {
                    let skip = options.sparse.as_deref().unwrap_or_default();
                    lexical_weights(inputs, array, skip)?.map(|rows| vectors.sparse = rows)
                }
                Part::Colbert => {
                    let (dimension, rows) = token_vectors(inputs, array, options.encode.finish)?;
                    vectors.colbert_dimension = dimension;
                    rows.map(|rows| vectors.colbert = rows)
                }
                _ => self.pool(inputs, array, &options.encode)?.map(|rows| vectors.dense = rows),
            };
            if let Err(row) = read {
                return Ok(Err(row));
            }
        }
        Ok(Ok(vectors))
    }
}

impl M3Vectors {
    fn put(&mut self, first: usize, batch: &Batch, vectors: BatchVectors) {
        if !vectors.dense.is_empty() {
            place_rows(batch, &vectors.dense, self.dimension, &mut self.dense[first * self.dimension..]);
        }
        for (&row, weights) in batch.rows.iter().zip(vectors.sparse) {
            self.sparse[first + row] = weights;
        }
        self.colbert_dimension = vectors.colbert_dimension;
        if let Some(colbert) = &mut self.colbert {
            for (&row, rows) in batch.rows.iter().zip(vectors.colbert) {
                colbert.put(first + row, rows, self.colbert_dimension);
            }
        }
    }
}

/// For each text the largest positive weight of every id that is not in `skip`.
fn lexical_weights(inputs: &Inputs, array: Array, skip: &[u32]) -> Result<std::result::Result<Vec<Lexical>, usize>> {
    let width = token_width("sparse_vecs", inputs, array)?;
    if width != 1 {
        return Err(Error::ModelFormat(format!("sparse_vecs has {width} numbers a token, not one")));
    }
    let mut texts = Vec::with_capacity(inputs.rows);
    for (row, &length) in inputs.lengths.iter().enumerate() {
        let start = row * inputs.length;
        let ids = &inputs.input_ids[start..start + length];
        let weights = &array.values[start..start + length];
        // Before relu and the comparison, which would hide what is not a number.
        if weights.iter().any(|weight| !weight.is_finite()) {
            return Ok(Err(row));
        }
        texts.push(largest_weights(ids, weights, skip));
    }
    Ok(Ok(texts))
}

fn largest_weights(ids: &[i64], weights: &[f32], skip: &[u32]) -> Lexical {
    let mut text = Lexical::default();
    let mut places: HashMap<u32, usize> = HashMap::with_capacity(ids.len());
    for (&id, &weight) in ids.iter().zip(weights) {
        let Ok(id) = u32::try_from(id) else { continue };
        if weight <= 0.0 || skip.contains(&id) {
            continue;
        }
        let place = *places.entry(id).or_insert_with(|| {
            text.ids.push(id);
            text.weights.push(weight);
            text.ids.len() - 1
        });
        text.weights[place] = text.weights[place].max(weight);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_in_the_order_of_their_first_positive_weight_with_their_largest() {
        let text = largest_weights(&[0, 7, 8, 7, 9, 2], &[5.0, -1.0, 0.25, 0.5, 0.0, 3.0], &[0, 2]);
        assert_eq!(text, Lexical { ids: vec![8, 7], weights: vec![0.25, 0.5] });
        let text = largest_weights(&[5, 5, 5], &[0.5, 0.75, 0.25], &[]);
        assert_eq!(text, Lexical { ids: vec![5], weights: vec![0.75] });
    }
}
