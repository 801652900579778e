//! Pairs of texts → scores.

use std::collections::HashMap;

use crate::batch::{Batch, Inputs};
use crate::models::{Model, WINDOW, Watch};
use crate::outputs::Array;
use crate::outputs::Part;
use crate::tokenizer::Tokens;
use crate::{Error, Result};

/// What one call asks for.
#[derive(Debug, Clone)]
pub struct ScoreOptions {
    /// Most tokens of a query, without special tokens.
    pub query_max_length: usize,
    /// Most tokens of a pair, special tokens included.
    pub max_length: usize,
    /// Most pairs of one ONNX Runtime call.
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
        let mut all = vec![0.0; pairs.len()];
        for (number, window) in pairs.chunks(WINDOW).enumerate() {
            let first = number * WINDOW;
            let tokens = self.pair_tokens(window, options)?;
            let scores = &mut all[first..];
            let mut put = |batch: &Batch, logits: Vec<f32>| {
                for (&row, logit) in batch.rows.iter().zip(logits) {
                    scores[row] = logit;
                }
            };
            let outputs = Part::Logits.into();
            self.run(&tokens, options.batch_size, outputs, &read_logits, &mut put, &mut |done| watch(first + done))
                .map_err(|error| error.name("pairs", first))?;
        }
        Ok(all)
    }

    /// Ids of pairs; a text that stands in many of them is tokenized once.
    fn pair_tokens<T: AsRef<str> + Sync>(&self, pairs: &[(T, T)], options: &ScoreOptions) -> Result<Vec<Tokens>> {
        let mut places: HashMap<&str, usize> = HashMap::new();
        let mut texts: Vec<&str> = Vec::new();
        let mut place = |text| {
            *places.entry(text).or_insert_with(|| {
                texts.push(text);
                texts.len() - 1
            })
        };
        let pairs: Vec<_> =
            pairs.iter().map(|(query, passage)| (place(query.as_ref()), place(passage.as_ref()))).collect();
        let ids = self.tokenizer().content_many(&texts, self.sessions().threads())?;
        let pair = |(query, passage): (usize, usize)| {
            let tokenizer = self.tokenizer();
            let query = tokenizer.cut(&ids[query], options.query_max_length);
            tokenizer.pair(query, &ids[passage], options.max_length)
        };
        Ok(pairs.into_iter().map(pair).collect())
    }
}

fn read_logits(inputs: &Inputs, arrays: &[Array]) -> Result<std::result::Result<Vec<f32>, usize>> {
    let logits = arrays[0];
    if logits.values.len() != inputs.rows {
        return Err(Error::ModelFormat(format!(
            "logits has the shape {:?} for {} pairs; a reranker gives one score a pair",
            logits.shape, inputs.rows
        )));
    }
    match logits.values.iter().position(|logit| !logit.is_finite()) {
        Some(row) => Ok(Err(row)),
        None => Ok(Ok(logits.values.to_vec())),
    }
}
