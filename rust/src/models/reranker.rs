//! Pairs of texts → scores.

use super::model::{Model, Rows, Verb, Watch};
use super::pairs::Contents;
use crate::Result;
use crate::batch::Inputs;
use crate::memory::zeros;
use crate::outputs::{Array, Outcome, Outputs, Part, scores};
use crate::tokenizer::Tokens;

/// What one call asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScoreOptions {
    /// Most tokens of a query, without special tokens.
    pub query_max_length: usize,
    /// Most tokens of a pair, special tokens included.
    pub max_length: usize,
    /// Most pairs of one run.
    pub batch_size: usize,
}

impl Model {
    /// The logit of each pair of a query and a passage. `watch` as in [`Model::encode`].
    ///
    /// # Errors
    /// As [`Model::encode`], naming a pair by its place.
    pub fn score<T: AsRef<str> + Sync>(
        &self,
        pairs: &[(T, T)],
        options: &ScoreOptions,
        watch: &mut Watch,
    ) -> Result<Vec<f32>> {
        let mut all = zeros(pairs.len(), "scores")?;
        self.each(pairs, options, &mut all, watch)?;
        Ok(all)
    }
}

impl<T: AsRef<str> + Sync> Verb<(T, T)> for ScoreOptions {
    type Row = f32;
    const ITEMS: &'static str = "pairs";

    fn texts(pair: &(T, T)) -> (&str, &str) {
        (pair.0.as_ref(), pair.1.as_ref())
    }

    fn tokenize(&self, model: &Model, pairs: &[&(T, T)], _name: &dyn Fn(usize) -> String) -> Result<Vec<Tokens>> {
        let tokenizer = model.tokenizer();
        let contents = Contents::of(model, pairs, self.query_max_length.max(self.max_length))?;
        let pair = |[query, passage]: [&[u32]; 2]| {
            tokenizer.pair(tokenizer.cut(query, self.query_max_length), passage, self.max_length)
        };
        Ok(contents.pairs().map(pair).collect())
    }

    fn batch_size(&self) -> usize {
        self.batch_size
    }

    fn outputs(&self) -> Outputs {
        Part::Logits.into()
    }

    fn read(&self, _model: &Model, inputs: &Inputs, arrays: &[Array]) -> Outcome<Vec<f32>> {
        Ok(scores(inputs, arrays[0], 1)?.into_iter().map(|score| score[0]).collect())
    }
}

impl Rows<f32> for Vec<f32> {
    fn put(&mut self, place: usize, row: f32) -> Result<()> {
        self[place] = row;
        Ok(())
    }

    fn copy(&mut self, first: usize, place: usize) -> Result<()> {
        self[place] = self[first];
        Ok(())
    }
}
