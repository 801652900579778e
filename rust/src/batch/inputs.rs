//! Ids of a batch: padded to one length, or one text behind the other.

use std::sync::Arc;

use super::{Batch, Layout};
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

/// The inputs of a graph for one batch.
#[derive(Debug)]
pub struct Inputs {
    /// Texts in the batch.
    pub rows: usize,
    /// Dimensions of what tokens go in and come out: `[texts, length]` where they are padded on the right, `[1, tokens]` where
    /// one text follows the other.
    pub shape: [usize; 2],
    /// Where each text begins among all tokens; last where the last one ends.
    pub starts: Vec<i64>,
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
    /// Of each text, the tokens before and behind its passage, where passages get shorter: `[texts, 2]`.
    pub kept: Vec<i64>,
    /// Tokens of a passage that become one there.
    pub ratio: usize,
    /// Where each text begins before a layer, counted from 0, from which on passages have fewer tokens.
    pub starts_before: Vec<(usize, Vec<i64>)>,
    /// Keys and values of what all texts begin with, which is none of their tokens here.
    pub past: Option<Arc<Past>>,
}

/// Keys and values of a beginning.
#[derive(Debug)]
pub struct Past {
    /// layers, tokens, numbers of a token.
    pub shape: [usize; 3],
    /// The numbers.
    pub values: Vec<f32>,
}

impl Inputs {
    /// Lays out the texts of a batch.
    #[must_use]
    pub fn new(batch: &Batch, texts: &[Tokens], rules: InputRules) -> Self {
        let lengths: Vec<usize> = batch.rows.iter().map(|&row| texts[row].ids.len()).collect();
        let packed = matches!(batch.layout, Layout::Packed | Layout::Few);
        let room = |length: usize| if packed { length } else { batch.length };
        let ends = starts(lengths.iter().map(|&length| room(length)));
        let tokens = ends[lengths.len()];
        let mut inputs = Self {
            rows: lengths.len(),
            shape: if packed { [1, tokens] } else { [lengths.len(), batch.length] },
            starts: ends.iter().copied().map(whole).collect(),
            input_ids: vec![i64::from(rules.pad_id); tokens],
            attention_mask: vec![0; tokens],
            token_type_ids: vec![0; tokens],
            position_ids: Vec::with_capacity(tokens),
            lengths,
            kept: Vec::new(),
            ratio: 1,
            starts_before: Vec::new(),
            past: None,
        };
        for (place, &row) in batch.rows.iter().enumerate() {
            inputs.put(ends[place], ends[place + 1], &texts[row], rules);
        }
        inputs
    }

    /// Counts the tokens that are left where, before each of `layers`, runs of `ratio` tokens of each passage become one. Of each text,
    /// `around` tokens are before and behind its passage.
    pub fn compress(&mut self, layers: impl Iterator<Item = usize>, ratio: usize, around: &[[usize; 2]]) {
        self.ratio = ratio.max(1);
        self.kept = around.iter().flatten().copied().map(whole).collect();
        let mut lengths = self.lengths.clone();
        for layer in layers {
            for (length, around) in lengths.iter_mut().zip(around) {
                let around: usize = around.iter().sum();
                *length = around + (*length - around).div_ceil(self.ratio);
            }
            let starts = starts(lengths.iter().copied()).into_iter().map(whole).collect();
            self.starts_before.push((layer, starts));
        }
    }

    fn put(&mut self, start: usize, end: usize, text: &Tokens, rules: InputRules) {
        let Tokens { ids, first, .. } = text;
        let text = start..start + ids.len();
        for (slot, &id) in self.input_ids[text.clone()].iter_mut().zip(ids) {
            *slot = i64::from(id);
        }
        self.token_type_ids[start + first..text.end].fill(i64::from(rules.typed_pairs));
        self.attention_mask[text].fill(1);
        self.position_ids.extend(positions(&self.input_ids[start..end], rules));
    }

    /// Where each token would lie were all texts padded to `longest` tokens, text after text, and behind them where the padding would;
    /// behind the texts are empty ones, up to so many `texts`.
    #[must_use]
    pub fn offsets(&self, texts: usize, longest: usize) -> Vec<i32> {
        let row = |row: usize| row * longest;
        let lengths = || self.lengths.iter().chain(std::iter::repeat(&0)).take(texts).enumerate();
        let tokens = lengths().flat_map(|(place, &length)| row(place)..row(place) + length);
        let padding = lengths().flat_map(|(place, &length)| row(place) + length..row(place + 1));
        tokens.chain(padding).map(|offset| i32::try_from(offset).unwrap_or(i32::MAX)).collect()
    }

    /// Where each text begins before `layer`, counted from 0.
    #[must_use]
    pub fn starts_before(&self, layer: usize) -> &[i64] {
        let found = self.starts_before.iter().find(|(before, _)| *before == layer);
        found.map_or(&self.starts, |(_, starts)| starts)
    }

    /// The place of a text's first token among all tokens.
    #[must_use]
    pub fn first(&self, text: usize) -> usize {
        usize::try_from(self.starts[text]).unwrap_or_default()
    }
}

/// Where each of some texts begins of which one follows the other, and where the last one ends.
fn starts(lengths: impl Iterator<Item = usize>) -> Vec<usize> {
    let ends = lengths.scan(0, |end, length| {
        *end += length;
        Some(*end)
    });
    std::iter::once(0).chain(ends).collect()
}

fn whole(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
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
    fn packs_one_text_behind_the_other() {
        let texts = [tokens(&[0, 5, 2]), tokens(&[0, 2])];
        let batch = Batch { rows: vec![1, 0], length: 3, layout: Layout::Packed };
        let inputs = Inputs::new(&batch, &texts, XLM_ROBERTA);
        assert_eq!((inputs.shape, &inputs.starts[..]), ([1, 5], &[0, 2, 5][..]));
        assert_eq!(inputs.input_ids, [0, 2, 0, 5, 2]);
        assert_eq!(inputs.position_ids, [2, 3, 2, 3, 4]);
        assert_eq!(inputs.lengths, [2, 3]);
        assert_eq!(inputs.offsets(2, 3), [0, 1, 3, 4, 5, 2]);
        assert_eq!(inputs.offsets(3, 4), [0, 1, 4, 5, 6, 2, 3, 7, 8, 9, 10, 11]);
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
    fn passages_get_shorter_layer_by_layer() {
        let pair = Tokens { ids: vec![1, 2, 3, 4, 5, 6, 7, 8, 9], total: 9, first: 3 };
        let batch = Batch { rows: vec![0, 1], length: 9, layout: Layout::Packed };
        let mut inputs = Inputs::new(&batch, &[pair, Tokens { ids: vec![1, 2, 3, 4], total: 4, first: 3 }], BERT);
        inputs.compress([2, 5].into_iter(), 2, &[[3, 1]; 2]);
        assert_eq!(inputs.kept, [3, 1, 3, 1]);
        assert_eq!(inputs.starts_before, [(2, vec![0, 7, 11]), (5, vec![0, 6, 10])]);
    }

    #[test]
    fn positions_follow_the_architecture() {
        let batch = Batch { rows: vec![0], length: 5, layout: Layout::Plain };
        let of = |rules| Inputs::new(&batch, &[tokens(&[0, 5, 1, 6, 2])], rules).position_ids;
        assert_eq!(of(XLM_ROBERTA), [2, 3, 1, 4, 5]);
        assert_eq!(of(BERT), [0, 1, 2, 3, 4]);
    }
}
