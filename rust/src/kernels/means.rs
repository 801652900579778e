//! Runs of a passage's tokens become their mean.

use super::shared::Shared;
use super::threads::Threads;

/// Texts whose passages are averaged.
#[derive(Clone, Copy)]
pub struct Means<'a> {
    /// Tokens that become one; of the last run of a passage, what is left.
    pub of: usize,
    /// Where each text begins among the tokens, and where the last one ends: `[texts + 1]`.
    pub starts: &'a [usize],
    /// The same among the tokens that are left.
    pub left: &'a [usize],
    /// Tokens of each text before and behind its passage: they stay.
    pub kept: &'a [[usize; 2]],
    /// Numbers of a token.
    pub size: usize,
}

impl Means<'_> {
    /// `rows` `[tokens, size]` → `out` `[tokens left, size]`.
    ///
    /// # Panics
    /// Where lengths do not fit each other.
    pub fn run(&self, threads: &dyn Threads, rows: &[f32], out: &mut [f32]) {
        let (texts, tokens) = (self.kept.len(), self.starts.last().copied().unwrap_or_default());
        assert_eq!((self.starts.len(), self.left.len()), (texts + 1, texts + 1), "a place for each text");
        assert_eq!(rows.len(), tokens * self.size, "a row for each token");
        assert_eq!(out.len(), self.left[texts] * self.size, "a row for each token that is left");
        let out = Shared::new(out);
        threads.share(texts, &|text| self.text(text, rows, &out));
    }

    fn text(&self, text: usize, rows: &[f32], out: &Shared) {
        let [first, end] = [self.starts[text], self.starts[text + 1]].map(|token| token * self.size);
        let [left, left_end] = [self.left[text], self.left[text + 1]].map(|token| token * self.size);
        #[expect(unsafe_code, reason = "a text belongs to one thread")]
        let out = unsafe { out.part(left..left_end) };
        let [before, behind] = self.kept[text].map(|tokens| tokens * self.size);
        let (start, passage) = rows[first..end].split_at(before);
        let (passage, last) = passage.split_at(passage.len() - behind);
        let (out_start, out_passage) = out.split_at_mut(before);
        let (out_passage, out_last) = out_passage.split_at_mut(out_passage.len() - behind);
        out_start.copy_from_slice(start);
        out_last.copy_from_slice(last);
        let runs = passage.chunks(self.of * self.size);
        assert_eq!(out_passage.len(), runs.len() * self.size, "a token for each run");
        for (run, mean) in runs.zip(out_passage.chunks_exact_mut(self.size)) {
            average(run, mean);
        }
    }
}

fn average(run: &[f32], mean: &mut [f32]) {
    mean.fill(0.0);
    for row in run.chunks_exact(mean.len()) {
        mean.iter_mut().zip(row).for_each(|(sum, number)| *sum += number);
    }
    #[expect(clippy::cast_precision_loss, reason = "a passage has fewer tokens")]
    let count = (run.len() / mean.len()) as f32;
    for sum in mean {
        *sum /= count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Alone;

    #[test]
    fn passages_shrink_and_what_is_around_them_stays() {
        let rows: Vec<f32> = (0u8..20).map(f32::from).collect();
        let means = Means { of: 2, starts: &[0, 6, 10], left: &[0, 4, 8], kept: &[[1, 1], [2, 2]], size: 2 };
        let mut out = [0.0; 16];
        means.run(&Alone, &rows, &mut out);
        let first = [0.0, 1.0, 3.0, 4.0, 7.0, 8.0, 10.0, 11.0];
        let expected = [first, [12.0, 13.0, 14.0, 15.0, 16.0, 17.0, 18.0, 19.0]].concat();
        assert!(out.iter().zip(expected).all(|(number, expected)| (number - expected).abs() < 1e-6));
    }
}
