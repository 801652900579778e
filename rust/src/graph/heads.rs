//! What follows the last layer: the first row, M3's two linear heads, a reranker's classifier.

use super::builder::{Builder, CONTRIB};
use super::onnx::Attribute;
use super::{Encoder, Variant};
use crate::batch::Architecture;
use crate::outputs::Part;
use crate::{Error, Result};

impl Builder<'_> {
    /// Every output of the variant, from the last layer's `states`: `[batch, 1, hidden]` where only the first row was computed.
    pub(super) fn heads(&mut self, encoder: &Encoder, variant: Variant, states: &str) -> Result<()> {
        let hidden = encoder.hidden_size.to_string();
        let needs_first_row = [Part::Cls, Part::Logits].iter().any(|&part| variant.outputs.contains(part));
        let first_row = needs_first_row.then(|| self.first_row(states, variant.outputs.first_row_only()));
        let first_row = first_row.unwrap_or_default();
        for part in variant.outputs.iter() {
            match part {
                Part::Cls => self.output("dense_vecs", &["batch", &hidden]),
                Part::HiddenStates => {
                    self.node("Identity", &[states], "last_hidden_state", &[]);
                    self.output("last_hidden_state", &["batch", "length", &hidden]);
                }
                Part::Sparse => self.linear_head(encoder, states, "sparse_linear", "sparse_vecs")?,
                Part::Colbert => self.linear_head(encoder, states, "colbert_linear", "colbert_vecs")?,
                Part::Logits => self.classifier(encoder, &first_row)?,
            }
        }
        Ok(())
    }

    fn first_row(&mut self, states: &str, alone: bool) -> String {
        if alone {
            let axis = self.constant("axis_1", &[1]);
            return self.node("Squeeze", &[states, &axis], "dense_vecs", &[]);
        }
        let first = self.scalar("first_row", 0);
        self.node("Gather", &[states, &first], "dense_vecs", &[Attribute::Int("axis", 1)])
    }

    /// A linear layer over every token: `name.weight` `[width, hidden]`, `name.bias` `[width]`.
    fn linear_head(&mut self, encoder: &Encoder, states: &str, name: &str, output: &str) -> Result<()> {
        let weight = format!("{name}.weight");
        let width = self.head_width(&weight)?;
        let matrix = self.head_weight(&weight, &[width, encoder.hidden_size])?;
        let bias = self.head_weight(&format!("{name}.bias"), &[width])?;
        let product = self.node_of(
            CONTRIB,
            "FusedMatMul",
            &[states, &matrix],
            &format!("{name}.product"),
            &[Attribute::Int("transB", 1)],
        );
        self.node("Add", &[&product, &bias], output, &[]);
        self.output(output, &["batch", "length", &width.to_string()]);
        Ok(())
    }

    /// dense, tanh, projection: XLM-R keeps both layers in its classifier, BERT the first one in its pooler.
    fn classifier(&mut self, encoder: &Encoder, first_row: &str) -> Result<()> {
        let (dense, projection) = match encoder.architecture {
            Architecture::XlmRoberta => ("classifier.dense".to_owned(), "classifier.out_proj"),
            Architecture::Bert => (format!("{}pooler.dense", self.prefix()), "classifier"),
        };
        let labels = self.head_width(&format!("{projection}.weight"))?;
        if labels != 1 {
            return Err(Error::ModelFormat(format!(
                "the classifier has {labels} outputs; a reranker has one, a score. This model sorts texts into classes"
            )));
        }
        let hidden = encoder.hidden_size;
        let dense = self.gemm(&dense, &[hidden, hidden], first_row, "classifier.dense.product")?;
        let dense = self.node("Tanh", &[&dense], "classifier.dense.tanh", &[]);
        self.gemm(projection, &[1, hidden], &dense, "logits")?;
        self.output("logits", &["batch", "1"]);
        Ok(())
    }

    fn gemm(&mut self, name: &str, shape: &[usize], values: &str, output: &str) -> Result<String> {
        let matrix = self.head_weight(&format!("{name}.weight"), shape)?;
        let bias = self.head_weight(&format!("{name}.bias"), &shape[..1])?;
        Ok(self.node("Gemm", &[values, &matrix, &bias], output, &[Attribute::Int("transB", 1)]))
    }
}
