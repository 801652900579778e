//! Ids of a batch, padded to one length.

use super::Batch;
use crate::tokenizer::Tokens;

/// How an architecture numbers positions, and the id it pads with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// Positions 0, 1, 2, ….
    Bert,
    /// Positions count the ids that are not `pad`, from `pad + 1`; a `pad` id has position `pad`, also one that a user typed.
    XlmRoberta,
}

/// How ids become a graph's inputs.
#[derive(Debug, Clone, Copy)]
pub struct Encoding {
    /// How positions are numbered, where a graph asks for them.
    pub architecture: Architecture,
    /// The id that pads a batch.
    pub pad_id: u32,
}

/// The graph's inputs for one batch, each `[rows, length]`, padded on the right.
#[derive(Debug)]
pub struct Inputs {
    /// Texts in the batch.
    pub rows: usize,
    /// Tokens of each, padding included.
    pub length: usize,
    /// Token ids.
    pub input_ids: Vec<i64>,
    /// 1 for a token of the text, 0 for padding.
    pub attention_mask: Vec<i64>,
    /// 0 for a single text, for the first of a pair and for padding; 1 for the second of a pair.
    pub token_type_ids: Vec<i64>,
    /// Tokens of each text, padding excluded.
    pub lengths: Vec<usize>,
}

impl Inputs {
    /// Pads the batch's texts with `pad_id` to the longest.
    #[must_use]
    pub fn new(batch: &Batch, texts: &[Tokens], pad_id: u32) -> Self {
        let (rows, length) = (batch.rows.len(), batch.length);
        let mut input_ids = vec![i64::from(pad_id); rows * length];
        let mut attention_mask = vec![0; rows * length];
        let mut token_type_ids = vec![0; rows * length];
        let mut lengths = Vec::with_capacity(rows);
        for (place, &row) in batch.rows.iter().enumerate() {
            let Tokens { ids, first, .. } = &texts[row];
            let start = place * length;
            for (slot, &id) in input_ids[start..].iter_mut().zip(ids) {
                *slot = i64::from(id);
            }
            attention_mask[start..start + ids.len()].fill(1);
            token_type_ids[start + first..start + ids.len()].fill(1);
            lengths.push(ids.len());
        }
        Self { rows, length, input_ids, attention_mask, token_type_ids, lengths }
    }

    /// Position ids `[rows, length]` by the architecture's rule.
    #[must_use]
    pub fn position_ids(&self, Encoding { architecture, pad_id }: Encoding) -> Vec<i64> {
        let pad = i64::from(pad_id);
        let mut positions = Vec::with_capacity(self.input_ids.len());
        for row in self.input_ids.chunks(self.length.max(1)) {
            let mut next = if architecture == Architecture::Bert { 0 } else { pad + 1 };
            for &id in row {
                if architecture == Architecture::XlmRoberta && id == pad {
                    positions.push(pad);
                } else {
                    positions.push(next);
                    next += 1;
                }
            }
        }
        positions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(ids: &[u32]) -> Tokens {
        Tokens { ids: ids.to_vec(), total: ids.len(), first: ids.len() }
    }

    #[test]
    fn pads_on_the_right() {
        let texts = [tokens(&[0, 5, 2]), tokens(&[0, 2])];
        let inputs = Inputs::new(&Batch { rows: vec![0, 1], length: 3, padded: true }, &texts, 1);
        assert_eq!(inputs.input_ids, [0, 5, 2, 0, 2, 1]);
        assert_eq!(inputs.attention_mask, [1, 1, 1, 1, 1, 0]);
        assert_eq!(inputs.lengths, [3, 2]);
        assert_eq!(inputs.token_type_ids, [0; 6]);
    }

    #[test]
    fn the_second_text_of_a_pair_has_type_one_and_padding_none() {
        let pair = Tokens { ids: vec![101, 7, 102, 8, 102], total: 5, first: 3 };
        let inputs = Inputs::new(&Batch { rows: vec![0, 1], length: 5, padded: true }, &[pair, tokens(&[9])], 0);
        assert_eq!(inputs.token_type_ids, [0, 0, 0, 1, 1, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn positions_follow_the_architecture() {
        let texts = [tokens(&[0, 5, 1, 6, 2])];
        let inputs = Inputs::new(&Batch { rows: vec![0], length: 5, padded: false }, &texts, 1);
        let xlm_roberta = Encoding { architecture: Architecture::XlmRoberta, pad_id: 1 };
        assert_eq!(inputs.position_ids(xlm_roberta), [2, 3, 1, 4, 5]);
        let bert = Encoding { architecture: Architecture::Bert, pad_id: 0 };
        assert_eq!(inputs.position_ids(bert), [0, 1, 2, 3, 4]);
    }
}
