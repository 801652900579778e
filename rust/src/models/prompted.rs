//! Pairs of texts → the scores of a decoder that is asked about them, after one layer or after several.

use super::model::{Model, Rows, Verb, Watch};
use super::pairs::Contents;
use crate::Result;
use crate::batch::Inputs;
use crate::graph::Depth;
use crate::memory::zeros;
use crate::outputs::{Array, Outcome, Outputs, Part, scores};
use crate::tokenizer::{Prompt, Tokens};

/// What one call asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromptOptions {
    /// What stands around the texts.
    pub prompt: Prompt,
    /// Most tokens of a query.
    pub query_max_length: usize,
    /// Most tokens of a passage, and of start, query, separator and passage as [`Prompt::pair`] counts them.
    pub max_length: usize,
    /// Most pairs of one run.
    pub batch_size: usize,
    /// After which layers there are scores.
    pub depth: Depth,
}

impl PromptOptions {
    /// Scores of each pair.
    #[must_use]
    pub fn scores(&self) -> usize {
        (self.depth.cutoffs.count_ones() as usize).max(1)
    }
}

/// Scores of a call, pair after pair.
struct Scores {
    values: Vec<f32>,
    each: usize,
}

impl Model {
    /// The scores of each pair of a query and a passage, `pairs × scores`: after each layer asked for, ascending. `watch` as in
    /// [`Model::encode`].
    ///
    /// # Errors
    /// As [`Model::encode`], naming a pair by its place.
    pub fn score_prompted<T: AsRef<str> + Sync>(
        &self,
        pairs: &[(T, T)],
        options: &PromptOptions,
        watch: &mut Watch,
    ) -> Result<Vec<f32>> {
        let each = options.scores();
        let mut all = Scores { values: zeros(pairs.len().saturating_mul(each), "scores")?, each };
        self.each(pairs, options, &mut all, watch)?;
        Ok(all.values)
    }
}

impl<T: AsRef<str> + Sync> Verb<(T, T)> for PromptOptions {
    type Row = Vec<f32>;
    const ITEMS: &'static str = "pairs";

    fn texts(pair: &(T, T)) -> (&str, &str) {
        (pair.0.as_ref(), pair.1.as_ref())
    }

    fn tokenize(&self, model: &Model, pairs: &[&(T, T)], _name: &dyn Fn(usize) -> String) -> Result<Vec<Tokens>> {
        let tokenizer = model.tokenizer();
        let contents = Contents::of(model, pairs, self.query_max_length.max(self.max_length))?;
        let pair = |[query, passage]: [&[u32]; 2]| {
            let query = tokenizer.cut(query, self.query_max_length);
            self.prompt.pair(query, tokenizer.cut(passage, self.max_length), self.max_length)
        };
        Ok(contents.pairs().map(pair).collect())
    }

    fn batch_size(&self) -> usize {
        self.batch_size
    }

    fn outputs(&self) -> Outputs {
        Part::Logits.into()
    }

    fn depth(&self) -> Depth {
        self.depth
    }

    fn behind(&self) -> usize {
        self.prompt.behind()
    }

    fn read(&self, _model: &Model, inputs: &Inputs, arrays: &[Array]) -> Outcome<Vec<Vec<f32>>> {
        Ok(scores(inputs, arrays[0], self.scores())?.into_iter().map(<[f32]>::to_vec).collect())
    }
}

impl Rows<Vec<f32>> for Scores {
    fn put(&mut self, place: usize, row: Vec<f32>) -> Result<()> {
        self.values[place * self.each..][..self.each].copy_from_slice(&row);
        Ok(())
    }

    fn copy(&mut self, first: usize, place: usize) -> Result<()> {
        let start = first * self.each;
        self.values.copy_within(start..start + self.each, place * self.each);
        Ok(())
    }
}
