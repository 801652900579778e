//! Ids of a batch, padded to one length.

use super::Batch;
use crate::tokenizer::Tokens;

/// How an architecture numbers positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Positions {
    /// 0, 1, 2, ….
    FromZero,
    /// From the padding id + 1; the padding id itself has its own number as position, also one that a user typed.
    AfterPad,
}

/// How ids become the inputs of a graph.
#[derive(Debug, Clone, Copy)]
pub struct InputRules {
    /// The id that fills up shorter texts.
    pub pad_id: u32,
    /// How positions are numbered, where a graph asks for them.
    pub positions: Positions,
    /// Whether the second text of a pair has token type 1; else every token has type 0.
    pub typed_pairs: bool,
}

/// The inputs of a graph for one batch, each `[rows, length]`, padded on the right.
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
    /// 1 for the second text of a pair, where the architecture tells it apart; else 0.
    pub token_type_ids: Vec<i64>,
    /// Each token's place in its text, by the rule of the architecture.
    pub position_ids: Vec<i64>,
    /// Tokens of each text, padding excluded.
    pub lengths: Vec<usize>,
}

impl Inputs {
    /// Pads the texts of a batch to the longest.
    #[must_use]
    pub fn new(batch: &Batch, texts: &[Tokens], rules: InputRules) -> Self {
        let (rows, length) = (batch.rows.len(), batch.length);
        let mut input_ids = vec![i64::from(rules.pad_id); rows * length];
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
            token_type_ids[start + first..start + ids.len()].fill(i64::from(rules.typed_pairs));
            lengths.push(ids.len());
        }
        let position_ids = input_ids.chunks(length.max(1)).flat_map(|row| positions(row, rules)).collect();
        Self { rows, length, input_ids, attention_mask, token_type_ids, position_ids, lengths }
    }
}

fn positions(ids: &[i64], InputRules { pad_id, positions, .. }: InputRules) -> impl Iterator<Item = i64> {
    let pad = i64::from(pad_id);
    let after_pad = positions == Positions::AfterPad;
    let first = if after_pad { pad + 1 } else { 0 };
    ids.iter().scan(first, move |next, &id| {
        if after_pad && id == pad {
            return Some(pad);
        }
        *next += 1;
        Some(*next - 1)
    })
}

#[cfg(test)]
mod tests {
    use super::super::Layout;
    use super::*;

    const BERT: InputRules = InputRules { pad_id: 0, positions: Positions::FromZero, typed_pairs: true };
    const XLM_ROBERTA: InputRules = InputRules { pad_id: 1, positions: Positions::AfterPad, typed_pairs: false };

    fn tokens(ids: &[u32]) -> Tokens {
        Tokens { ids: ids.to_vec(), total: ids.len(), first: ids.len() }
    }

    #[test]
    fn pads_on_the_right() {
        let texts = [tokens(&[0, 5, 2]), tokens(&[0, 2])];
        let batch = Batch { rows: vec![0, 1], length: 3, layout: Layout::Masked };
        let inputs = Inputs::new(&batch, &texts, XLM_ROBERTA);
        assert_eq!(inputs.input_ids, [0, 5, 2, 0, 2, 1]);
        assert_eq!(inputs.attention_mask, [1, 1, 1, 1, 1, 0]);
        assert_eq!(inputs.lengths, [3, 2]);
        assert_eq!(inputs.token_type_ids, [0; 6]);
    }

    #[test]
    fn the_second_text_of_a_pair_has_type_one_where_it_is_told_apart() {
        let pair = Tokens { ids: vec![101, 7, 102, 8, 102], total: 5, first: 3 };
        let batch = Batch { rows: vec![0, 1], length: 5, layout: Layout::Masked };
        let types = |rules| Inputs::new(&batch, &[pair.clone(), tokens(&[9])], rules).token_type_ids;
        assert_eq!(types(BERT), [0, 0, 0, 1, 1, 0, 0, 0, 0, 0]);
        assert_eq!(types(XLM_ROBERTA), [0; 10]);
    }

    #[test]
    fn positions_follow_the_architecture() {
        let batch = Batch { rows: vec![0], length: 5, layout: Layout::Plain };
        let of = |rules| Inputs::new(&batch, &[tokens(&[0, 5, 1, 6, 2])], rules).position_ids;
        assert_eq!(of(XLM_ROBERTA), [2, 3, 1, 4, 5]);
        assert_eq!(of(BERT), [0, 1, 2, 3, 4]);
    }
}
