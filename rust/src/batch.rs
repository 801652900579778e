//! Token ids → batches: texts of like length together, under a token budget.

use crate::tokenizer::Tokens;

/// Tokens, padding included, of one ONNX Runtime call. Relative bulk speed on 2 cores, bge-small shape:
/// 256: 0.97, 512: 1.00, 1024: 0.94, 4096: 0.76 with 2.4 × the memory.
pub const TOKEN_BUDGET: usize = 512;
/// The same on a CUDA device, which small runs leave idle. Relative bulk speed on one H200, bge-small in fp16, abstracts:
/// 512: 0.15, 4096: 0.83, 16384: 1.00, 65536: 0.95.
pub const CUDA_TOKEN_BUDGET: usize = 16_384;

/// Texts that go through the graph together.
#[derive(Debug, PartialEq, Eq)]
pub struct Batch {
    /// Places of the texts in the caller's list.
    pub rows: Vec<usize>,
    /// Tokens of the longest of them.
    pub length: usize,
    /// Whether one of them is shorter, so that the batch needs a mask.
    pub padded: bool,
}

/// Groups texts by token count, longest first, so that memory peaks in the first batch and the last ones end together.
///
/// A batch holds at most `max_rows` texts and `token_budget` tokens with padding, but always one text. A text of more than
/// [`TOKEN_BUDGET`] tokens goes alone, whatever the budget: it needs no mask, and attention with one takes memory by the square.
#[must_use]
pub fn plan(lengths: &[usize], token_budget: usize, max_rows: usize) -> Vec<Batch> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&row| std::cmp::Reverse(lengths[row]));
    let mut batches: Vec<Batch> = Vec::new();
    let fits = |batch: &Batch| {
        let rows = batch.rows.len() + 1;
        rows <= max_rows && rows * batch.length <= token_budget && batch.length <= TOKEN_BUDGET
    };
    for row in order {
        match batches.last_mut() {
            Some(batch) if fits(batch) => {
                batch.rows.push(row);
                batch.padded |= lengths[row] < batch.length;
            }
            _ => batches.push(Batch { rows: vec![row], length: lengths[row], padded: false }),
        }
    }
    batches
}

/// The same batches cut into ones that need no mask.
#[must_use]
pub fn split_by_length(batches: &[Batch], lengths: &[usize]) -> Vec<Batch> {
    let equal = |one: &usize, other: &usize| lengths[*one] == lengths[*other];
    let parts = batches.iter().flat_map(|batch| batch.rows.chunk_by(equal));
    parts.map(|rows| Batch { rows: rows.to_vec(), length: lengths[rows[0]], padded: false }).collect()
}

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
    fn every_row_is_in_exactly_one_batch_and_budgets_hold() {
        let lengths: Vec<usize> = (0..500).map(|i| 1 + (i * 7919) % 300).collect();
        let batches = plan(&lengths, 512, 16);
        let mut rows: Vec<usize> = batches.iter().flat_map(|b| b.rows.clone()).collect();
        rows.sort_unstable();
        assert_eq!(rows, (0..500).collect::<Vec<_>>());
        for batch in &batches {
            assert_eq!(batch.length, batch.rows.iter().map(|&r| lengths[r]).max().expect("no empty batch"));
            assert_eq!(batch.padded, batch.rows.iter().any(|&r| lengths[r] < batch.length));
            assert!(batch.rows.len() <= 16);
            assert!(batch.rows.len() == 1 || batch.rows.len() * batch.length <= 512);
        }
    }

    #[test]
    fn without_a_mask_every_batch_has_one_length() {
        let lengths = [3, 5, 5, 2, 3];
        let batches = split_by_length(&plan(&lengths, 512, 16), &lengths);
        let rows: Vec<_> = batches.iter().map(|batch| batch.rows.clone()).collect();
        assert_eq!(rows, [vec![1, 2], vec![0, 4], vec![3]]);
        assert_eq!(batches.iter().map(|batch| batch.length).collect::<Vec<_>>(), [5, 3, 2]);
        assert!(batches.iter().all(|batch| !batch.padded));
    }

    #[test]
    fn a_long_text_goes_alone_whatever_the_budget() {
        let batches = plan(&[600, 600, 512, 512], CUDA_TOKEN_BUDGET, 256);
        assert_eq!(batches.iter().map(|b| b.rows.clone()).collect::<Vec<_>>(), [vec![0], vec![1], vec![2, 3]]);
    }

    #[test]
    fn a_text_over_the_budget_goes_alone() {
        let batches = plan(&[8192, 3], 512, 256);
        assert_eq!(batches.iter().map(|b| b.rows.clone()).collect::<Vec<_>>(), [vec![0], vec![1]]);
    }

    #[test]
    fn batch_size_one_and_nothing_at_all() {
        assert_eq!(plan(&[2, 2, 2], 512, 1).len(), 3);
        assert!(plan(&[], 512, 1).is_empty());
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
