//! How padded texts lie for a decoder on a device: lengths and places, at the beginning and from layers on that have fewer tokens.

use super::Inputs;

/// What a graph asks for of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padded {
    /// The numbers from 0 to the length that texts are padded to.
    Places,
    /// That length.
    Length,
    /// The last of these places, for each text.
    LastPlaces,
    /// Where each text's last token is among all.
    LastTokens,
    /// Which tokens of those before become each token, among all; -1 for none: `[texts, length, ratio]`.
    Runs,
}

impl Inputs {
    /// Dimensions and numbers, before `layer` or at the beginning.
    #[must_use]
    pub fn padded(&self, what: Padded, layer: Option<usize>) -> (Vec<usize>, Vec<i32>) {
        let lengths = self.lengths_before(layer);
        let longest = longest(&lengths);
        let values: Vec<i32> = match what {
            Padded::Places => (0..whole(longest)).collect(),
            Padded::Length => vec![whole(longest)],
            // Padding is computed too: of less its kernel would count a text's places from the end.
            Padded::LastPlaces => vec![whole(longest - 1); self.rows],
            Padded::LastTokens => {
                lengths.iter().enumerate().map(|(text, length)| whole(text * longest + length - 1)).collect()
            }
            Padded::Runs => return (vec![self.rows, longest, self.ratio], self.runs(layer, &lengths)),
        };
        (vec![values.len()], values)
    }

    /// Tokens of each text.
    fn lengths_before(&self, layer: Option<usize>) -> Vec<usize> {
        let Some(layer) = layer else { return self.lengths.clone() };
        let starts = self.starts_before(layer).windows(2);
        starts.map(|ends| usize::try_from(ends[1] - ends[0]).unwrap_or_default()).collect()
    }

    /// What is padding is its text's first token, so that all numbers are finite.
    fn runs(&self, layer: Option<usize>, lengths: &[usize]) -> Vec<i32> {
        let earlier = self.starts_before.iter().map(|(earlier, _)| *earlier);
        let earlier = earlier.take_while(|&earlier| Some(earlier) != layer).last();
        let before = self.lengths_before(earlier);
        let (longest_before, longest) = (longest(&before), longest(lengths));
        let mut runs = Vec::with_capacity(self.rows * longest * self.ratio);
        for (text, &length) in before.iter().enumerate() {
            let [front, behind] = [0, 1].map(|side| usize::try_from(self.kept[2 * text + side]).unwrap_or_default());
            let passage = front..length - behind;
            let starts = (0..front).chain(passage.clone().step_by(self.ratio)).chain(passage.end..length);
            let padding = std::iter::repeat_n(0, longest - lengths[text]);
            for start in starts.chain(padding) {
                let end = if passage.contains(&start) { passage.end.min(start + self.ratio) } else { start + 1 };
                let tokens = (start..end).map(|token| whole(text * longest_before + token));
                runs.extend(tokens.chain(std::iter::repeat(-1)).take(self.ratio));
            }
        }
        runs
    }
}

fn longest(lengths: &[usize]) -> usize {
    lengths.iter().max().copied().unwrap_or_default()
}

fn whole(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Batch, InputRules, Layout, Positions};
    use crate::tokenizer::Tokens;

    fn inputs(lengths: &[usize]) -> Inputs {
        let text = |&total: &usize| Tokens { ids: vec![7; total], total, first: total };
        let texts: Vec<Tokens> = lengths.iter().map(text).collect();
        let batch = Batch { rows: (0..texts.len()).collect(), length: lengths[0], layout: Layout::Masked };
        Inputs::new(&batch, &texts, InputRules { pad_id: 0, positions: Positions::FromZero, typed_pairs: false })
    }

    #[test]
    fn places_and_last_tokens_are_those_of_padded_texts() {
        let inputs = inputs(&[4, 1]);
        let of = |what| inputs.padded(what, None);
        assert_eq!(of(Padded::Places), (vec![4], vec![0, 1, 2, 3]));
        assert_eq!(of(Padded::Length), (vec![1], vec![4]));
        assert_eq!(of(Padded::LastPlaces), (vec![2], vec![3, 3]));
        assert_eq!(of(Padded::LastTokens), (vec![2], vec![3, 4]));
    }

    #[test]
    fn runs_of_passages_become_one_and_what_stands_around_stays() {
        let mut inputs = inputs(&[8, 4]);
        // Two tokens before, one behind: passages of five and of one.
        inputs.compress([3, 5].into_iter(), 2, &[[2, 1]; 2]);
        let (shape, runs) = inputs.padded(Padded::Runs, Some(3));
        assert_eq!(shape, [2, 6, 2]);
        assert_eq!(runs[..12], [0, -1, 1, -1, 2, 3, 4, 5, 6, -1, 7, -1]);
        assert_eq!(runs[12..], [8, -1, 9, -1, 10, -1, 11, -1, 8, -1, 8, -1]);
        assert_eq!(inputs.padded(Padded::LastTokens, Some(3)), (vec![2], vec![5, 9]));
        // Once more, from six tokens and four.
        let (shape, runs) = inputs.padded(Padded::Runs, Some(5));
        assert_eq!(shape, [2, 5, 2]);
        assert_eq!(runs[..10], [0, -1, 1, -1, 2, 3, 4, -1, 5, -1]);
        assert_eq!(runs[10..], [6, -1, 7, -1, 8, -1, 9, -1, 6, -1]);
    }
}
