//! Sparse output: the lexical weights of a text.

use std::collections::HashMap;

use super::{Array, Outcome, RowError, token_width};
use crate::Error;
use crate::batch::Inputs;

/// Lexical weights of a text: ids in the order in which each first had a positive weight, with its largest weight.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Lexical {
    /// Token ids, each once.
    pub ids: Vec<u32>,
    /// Their weights, all positive.
    pub weights: Vec<f32>,
}

/// For each text the largest positive weight of every id that is not in `skip`.
pub(crate) fn lexical_weights(inputs: &Inputs, array: Array, skip: &[u32]) -> Outcome<Vec<Lexical>> {
    let width = token_width("sparse_vecs", inputs, array)?;
    if width != 1 {
        return Err(Error::ModelFormat(format!("sparse_vecs has {width} numbers a token, not one")).into());
    }
    let of_text = |(row, &length): (usize, &usize)| {
        let start = inputs.first(row);
        let ids = &inputs.input_ids[start..start + length];
        let weights = &array.values[start..start + length];
        // Before relu and the comparison, which would hide what is not a number.
        if weights.iter().all(|weight| weight.is_finite()) {
            Ok(largest_weights(ids, weights, skip))
        } else {
            Err(RowError::NotFinite { row })
        }
    };
    inputs.lengths.iter().enumerate().map(of_text).collect()
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
