//! What follows the last layer: the first row, M3's two linear heads, a reranker's classifier.

use super::architecture::Classifier;
use super::bert::{Bert, first_tokens};
use super::builder::Builder;
use super::layers::{linear, token_linear};
use super::onnx::Attribute;
use super::packed;
use crate::outputs::{Outputs, Part};
use crate::{Error, Result};

/// Every output, from the last layer's `states`: `[batch, 1, hidden]` where only the first row was computed.
pub(super) fn add(graph: &mut Builder, bert: &Bert, outputs: Outputs, states: &str) -> Result<()> {
    let size = bert.encoder.hidden_size;
    let hidden = size.to_string();
    let first_row = outputs.takes_first_rows().then(|| first_row(graph, states, outputs.first_row_only()));
    let first_row = first_row.unwrap_or_default();
    for part in outputs.iter() {
        match part {
            Part::Cls => graph.put_out("dense_vecs", &["batch", &hidden]),
            // Of few tokens it is taken later: some of them may belong to no text.
            Part::Mean if graph.on_cuda() && !graph.merges() => {
                packed::means(graph, states);
                graph.output("mean_vecs", &["batch", &hidden]);
            }
            // An encoder's rows are taken later.
            Part::HiddenStates | Part::Mean | Part::Last => {
                let output = graph.before("last_hidden_state");
                of_tokens(graph, states, &output);
                graph.put_out("last_hidden_state", &["batch", "length", &hidden]);
            }
            Part::Sparse => token_head(graph, size, states, "sparse_linear", "sparse_vecs")?,
            Part::Colbert => token_head(graph, size, states, "colbert_linear", "colbert_vecs")?,
            Part::Logits => classifier(graph, bert, &first_row)?,
            Part::Past => return Err(Error::Value("an encoder has no past".into())),
        }
    }
    Ok(())
}

/// Values of tokens as `[batch, length, width]`.
fn of_tokens(graph: &mut Builder, values: &str, output: &str) {
    if graph.on_cuda() {
        let axis = graph.constant("axis_0", &[0]);
        graph.node("Unsqueeze", &[values, &axis], output, &[]);
    } else {
        graph.node("Identity", &[values], output, &[]);
    }
}

fn first_row(graph: &mut Builder, states: &str, alone: bool) -> String {
    if graph.on_cuda() {
        let first = if alone { states.to_owned() } else { first_tokens(graph, states) };
        return graph.node("Identity", &[&first], &graph.before("dense_vecs"), &[]);
    }
    if graph.ours().is_some() {
        let first = if alone { states.to_owned() } else { first_tokens(graph, states) };
        let axis = graph.constant("axis_0", &[0]);
        return graph.node("Squeeze", &[&first, &axis], "dense_vecs", &[]);
    }
    if alone {
        let axis = graph.constant("axis_1", &[1]);
        return graph.node("Squeeze", &[states, &axis], "dense_vecs", &[]);
    }
    let first = graph.scalar("first_row", 0);
    graph.node("Gather", &[states, &first], "dense_vecs", &[Attribute::Int("axis", 1)])
}

/// A linear layer over every token: `name.weight` `[width, hidden]`, `name.bias` `[width]`.
fn token_head(graph: &mut Builder, hidden: usize, states: &str, name: &str, output: &str) -> Result<()> {
    let width = graph.height(&format!("{name}.weight"))?;
    if graph.on_cuda() {
        let values = linear(graph, name, [width, hidden], states, &format!("{name}.product"))?;
        of_tokens(graph, &values, &graph.before(output));
    } else {
        token_linear(graph, name, [width, hidden], states, output)?;
    }
    graph.put_out(output, &["batch", "length", &width.to_string()]);
    Ok(())
}

fn classifier(graph: &mut Builder, bert: &Bert, first_row: &str) -> Result<()> {
    let &Classifier { pooler, dense, activation, projection } = &bert.encoder.architecture.classifier;
    let labels = graph.height(&format!("{projection}.weight"))?;
    if labels != 1 {
        return Err(Error::ModelFormat(format!(
            "the classifier has {labels} outputs; a reranker has one, a score. This model sorts texts into classes"
        )));
    }
    let hidden = bert.encoder.hidden_size;
    let dense = if pooler { bert.tensor(dense) } else { dense.to_owned() };
    let values = linear(graph, &dense, [hidden, hidden], first_row, "classifier.dense.product")?;
    let values = activation.of(graph, &values, "classifier.dense.activated");
    linear(graph, projection, [1, hidden], &values, &graph.before("logits"))?;
    graph.put_out("logits", &["batch", "1"]);
    Ok(())
}
