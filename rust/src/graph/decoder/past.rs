//! A beginning that texts share: its keys and values go in where they are there already, or come out for later.

use super::parts::asked;
use super::{PAST, Tower};
use crate::Result;
use crate::graph::builder::Builder;
use crate::graph::onnx::Attribute;

/// The keys and values of a beginning, and those of a layer's tokens behind them.
pub(super) fn behind(graph: &mut Builder, number: usize, asked: &str) -> String {
    let layer = graph.constant(&format!("layer_{number}"), &[i64::try_from(number).unwrap_or(i64::MAX)]);
    let past = graph.node("Gather", &[PAST, &layer], &format!("{asked}.past"), &[Attribute::Int("axis", 0)]);
    graph.node("Concat", &[&past, asked], &format!("{asked}.all"), &[Attribute::Int("axis", 1)])
}

impl Tower<'_> {
    /// Puts out keys and values of all layers; of the last one nothing else is computed.
    pub fn past(&self, graph: &mut Builder, mut states: String, starts: &str) -> Result<()> {
        let last = self.decoder.num_hidden_layers - 1;
        for number in 0..last {
            states = self.layer(graph, number, &states, starts, false)?;
        }
        let normed = self.norm(graph, &self.names.layer(last, "input_layernorm"), &states)?;
        self.keys_and_values(graph, last, &normed)?;
        let layers: Vec<_> = (0..=last).map(asked).collect();
        let layers: Vec<&str> = layers.iter().map(String::as_str).collect();
        graph.node("Concat", &layers, PAST, &[Attribute::Int("axis", 0)]);
        graph.output(PAST, &["layers", "length", "width"]);
        Ok(())
    }
}
