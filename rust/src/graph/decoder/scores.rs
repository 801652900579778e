//! What comes out of a decoder: the last token's row, and scores after layers.

use super::cuda::capped;
use super::{KEPT, Tower};
use crate::graph::builder::Builder;
use crate::graph::form::Depth;
use crate::graph::onnx::Attribute;
use crate::outputs::{Outputs, Part};
use crate::prepared::Layer;
use crate::{Error, Result};

impl Tower<'_> {
    /// The score of each text, `[texts, 1]`, from the last token's state after so many layers.
    pub fn score(&self, graph: &mut Builder, rows: &str, layers: usize, place: usize) -> Result<String> {
        let value = format!("score.{layers}");
        let normed = self.normed_rows(graph, rows)?;
        let (matrix, row) = self.names.head(self.decoder.head, layers, place);
        let weights = graph.row(&format!("{value}.weights"), &matrix, row)?;
        // By one row ONNX Runtime's products give other bits alone than beside others.
        let parts = graph.node("Mul", &[&normed, &weights], &format!("{value}.parts"), &[]);
        let axis = graph.constant("axis_1", &[1]);
        let mut score = graph.node("ReduceSum", &[&parts, &axis], &value, &[Attribute::Int("keepdims", 1)]);
        if let Some(cap) = self.decoder.logit_cap {
            score = capped(graph, &score, cap);
        }
        Ok(score)
    }

    pub fn outputs(&self, graph: &mut Builder, outputs: Outputs, states: &str, scores: &[String]) -> Result<()> {
        let hidden = self.decoder.hidden_size.to_string();
        for part in outputs.iter() {
            match part {
                Part::Last => {
                    let rows = self.normed_rows(graph, states)?;
                    graph.node("Identity", &[&rows], "last", &[]);
                    graph.output("last", &["batch", &hidden]);
                }
                Part::Logits => {
                    let scores: Vec<&str> = scores.iter().map(String::as_str).collect();
                    graph.node("Concat", &scores, "logits", &[Attribute::Int("axis", 1)]);
                    graph.output("logits", &["batch", &scores.len().to_string()]);
                }
                Part::Cls | Part::HiddenStates | Part::Mean | Part::Sparse | Part::Colbert | Part::Past => {
                    return Err(Error::Value(format!("a decoder has no output {:?}", part.names()[0])));
                }
            }
        }
        Ok(())
    }

    /// The rows of texts, normalized, as `[texts, hidden]`.
    fn normed_rows(&self, graph: &mut Builder, rows: &str) -> Result<String> {
        let normed = self.norm(graph, &self.names.last_norm(), rows)?;
        if graph.on_cuda() {
            return Ok(normed);
        }
        let axis = graph.constant("axis_0", &[0]);
        Ok(graph.node("Squeeze", &[&normed, &axis], &format!("{normed}.rows"), &[]))
    }
}

/// Runs of `depth.ratio` tokens of each passage as their mean; `starts` are those of texts before and after.
pub(super) fn compressed(
    graph: &mut Builder,
    states: &str,
    [starts, next]: [&str; 2],
    depth: Depth,
    number: usize,
) -> String {
    let layer = Layer::Means(depth.ratio as usize);
    graph.layer("Means", layer, &[states, starts, next, KEPT], &format!("layer.{number}.compressed"))
}
