//! What architectures call the tensors of a layer.

/// Names of linear layers and norms, below that of the layer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LayerNames {
    /// The layers themselves, each with its number behind.
    pub layers: &'static str,
    pub query: &'static str,
    pub key: &'static str,
    pub value: &'static str,
    /// What is made of what the heads took.
    pub taken: &'static str,
    pub attention_norm: &'static str,
    pub wide: &'static str,
    pub narrow: &'static str,
    pub norm: &'static str,
}

pub(super) static BERT: LayerNames = LayerNames {
    layers: "encoder.layer",
    query: "attention.self.query",
    key: "attention.self.key",
    value: "attention.self.value",
    taken: "attention.output.dense",
    attention_norm: "attention.output.LayerNorm",
    wide: "intermediate.dense",
    narrow: "output.dense",
    norm: "output.LayerNorm",
};

pub(super) static DISTILBERT: LayerNames = LayerNames {
    layers: "transformer.layer",
    query: "attention.q_lin",
    key: "attention.k_lin",
    value: "attention.v_lin",
    taken: "attention.out_lin",
    attention_norm: "sa_layer_norm",
    wide: "ffn.lin1",
    narrow: "ffn.lin2",
    norm: "output_layer_norm",
};

pub(super) static MPNET: LayerNames = LayerNames {
    layers: "encoder.layer",
    query: "attention.attn.q",
    key: "attention.attn.k",
    value: "attention.attn.v",
    taken: "attention.attn.o",
    attention_norm: "attention.LayerNorm",
    wide: "intermediate.dense",
    narrow: "output.dense",
    norm: "output.LayerNorm",
};
