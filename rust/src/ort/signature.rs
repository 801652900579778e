//! What a graph takes and gives, seen to be what we feed and read before it is ever run.

use std::ffi::{CStr, CString};

use ::ort::value::{Outlet, Tensor, TensorElementType, TensorRef, ValueType};

use super::values::FedTensor;
use crate::batch::Padded;
use crate::graph::{
    FIRST_TOKENS, KEPT, LAST_PLACES, LAST_TOKENS, LENGTH, PAST, PLACES, RUNS, STARTS, TOKEN_OFFSETS, layer_of_starts,
};
use crate::outputs::Part;
use crate::{Error, Result};

/// An input that we can feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Input {
    Ids,
    Mask,
    Types,
    Positions,
    /// Where each text begins, in a graph of ours.
    Starts,
    /// See [`TOKEN_OFFSETS`].
    Offsets,
    /// See [`FIRST_TOKENS`].
    First,
    /// The same before a layer of a decoder.
    StartsBefore(usize),
    /// What of each text is no passage.
    Kept,
    /// Keys and values of a beginning.
    Past,
    /// How texts of a decoder lie on CUDA, at the beginning or before a layer.
    Padded(Padded, Option<usize>),
}

impl Input {
    /// Its dimensions for so many texts of so many tokens together, in a graph of ours for CUDA.
    pub(super) fn shape(self, texts: usize, tokens: usize) -> Vec<usize> {
        match self {
            Self::Ids | Self::Mask | Self::Types | Self::Positions => vec![tokens],
            Self::Starts => vec![texts + 1],
            Self::Offsets => vec![texts, tokens],
            Self::First => vec![texts],
            // Only decoders have them, which are not captured.
            Self::StartsBefore(_) | Self::Kept | Self::Past | Self::Padded(..) => Vec::new(),
        }
    }

    /// For a graph of `[batch, length]`, or of ours.
    pub(super) fn padded(self, inputs: &crate::batch::Inputs) -> ::ort::Result<FedTensor<'_>> {
        let values = self.values(inputs);
        let tensor = match (self, inputs.past.as_deref()) {
            (Self::Past, Some(past)) => {
                TensorRef::from_array_view((past.shape, &*past.values)).map(TensorRef::into_dyn)
            }
            (Self::Starts | Self::StartsBefore(_), _) => {
                TensorRef::from_array_view(([values.len()], values)).map(TensorRef::into_dyn)
            }
            (Self::Kept, _) => TensorRef::from_array_view(([inputs.rows, 2], values)).map(TensorRef::into_dyn),
            _ => TensorRef::from_array_view((inputs.shape, values)).map(TensorRef::into_dyn),
        };
        tensor.map(FedTensor::Borrowed)
    }

    /// For a graph of ours for CUDA.
    pub(super) fn packed(self, inputs: &crate::batch::Inputs) -> ::ort::Result<Tensor<i32>> {
        if let Self::Offsets = self {
            let longest = inputs.lengths.iter().max().copied().unwrap_or_default();
            return Tensor::from_array(([inputs.rows, longest], inputs.offsets(inputs.rows, longest)));
        }
        let values: Vec<i32> = narrow(self.values(inputs)).collect();
        Tensor::from_array(([values.len()], values))
    }

    /// For a graph of a decoder on CUDA.
    pub(super) fn of_decoder(self, inputs: &crate::batch::Inputs) -> ::ort::Result<Tensor<i32>> {
        if let Self::Padded(what, layer) = self {
            return Tensor::from_array(inputs.padded(what, layer));
        }
        Tensor::from_array((inputs.shape, narrow(self.values(inputs)).collect::<Vec<_>>()))
    }

    /// Its numbers for a captured run: those of tokens end early, texts that are missing are empty.
    pub(super) fn few(self, inputs: &crate::batch::Inputs, texts: usize, tokens: usize) -> Vec<i32> {
        let mut values: Vec<i32> = match self {
            Self::Offsets => inputs.offsets(texts, tokens),
            other => narrow(other.values(inputs)).collect(),
        };
        match self {
            Self::Starts => values.resize(texts + 1, values[inputs.rows]),
            Self::First => values.resize(texts, 0),
            _ => {}
        }
        values
    }

    /// Its numbers, where a batch has them.
    pub(super) fn values(self, inputs: &crate::batch::Inputs) -> &[i64] {
        match self {
            Self::Ids => &inputs.input_ids,
            Self::Mask => &inputs.attention_mask,
            Self::Types => &inputs.token_type_ids,
            Self::Positions => &inputs.position_ids,
            Self::Starts => &inputs.starts,
            Self::StartsBefore(layer) => inputs.starts_before(layer),
            Self::Kept => &inputs.kept,
            Self::First => &inputs.starts[..inputs.rows],
            Self::Offsets | Self::Past | Self::Padded(..) => &[],
        }
    }
}

fn narrow(values: &[i64]) -> impl Iterator<Item = i32> {
    values.iter().map(|&value| i32::try_from(value).unwrap_or(i32::MAX))
}

/// The inputs of a graph.
pub(super) struct Inputs {
    /// Each with the name that it has there.
    pub named: Vec<(CString, Input)>,
    pub laid_out: LaidOut,
}

/// How texts lie in a graph's inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LaidOut {
    /// int64, `[batch, length]`, or as our own operators take them.
    Anyhow,
    /// int32, one behind the other: an encoder of ours for CUDA.
    Packed,
    /// int32, `[batch, length]`: a decoder of ours for CUDA.
    Decoder,
}

/// The inputs of a graph: all of them int64, `[batch, length]`, neither of which is fixed, but in graphs of ours.
pub(super) fn inputs(outlets: &[Outlet]) -> Result<Inputs> {
    let has = |name| outlets.iter().any(|outlet| outlet.name() == name);
    let laid_out = match () {
        () if has(TOKEN_OFFSETS) => LaidOut::Packed,
        () if has(LAST_TOKENS) => LaidOut::Decoder,
        () => LaidOut::Anyhow,
    };
    let known = |outlet| if laid_out == LaidOut::Anyhow { known_input(outlet) } else { input_on_cuda(outlet) };
    Ok(Inputs { named: outlets.iter().map(known).collect::<Result<_>>()?, laid_out })
}

fn input_on_cuda(outlet: &Outlet) -> Result<(CString, Input)> {
    let name = outlet.name();
    let input = match name {
        TOKEN_OFFSETS => Input::Offsets,
        FIRST_TOKENS => Input::First,
        name => padded_input(name).map_or_else(|| named(name), Ok)?,
    };
    Ok((c_name(name)?, input))
}

/// Its name, and behind a point the layer before which it holds.
fn padded_input(name: &str) -> Option<Input> {
    let (name, layer) = match name.split_once('.') {
        Some((name, layer)) => (name, Some(layer.parse().ok()?)),
        None => (name, None),
    };
    let what = match name {
        PLACES => Padded::Places,
        LENGTH => Padded::Length,
        LAST_PLACES => Padded::LastPlaces,
        LAST_TOKENS => Padded::LastTokens,
        RUNS => Padded::Runs,
        _ => return None,
    };
    Some(Input::Padded(what, layer))
}

fn named(name: &str) -> Result<Input> {
    if let Some(layer) = layer_of_starts(name) {
        return Ok(Input::StartsBefore(layer));
    }
    match name {
        "input_ids" => Ok(Input::Ids),
        "attention_mask" => Ok(Input::Mask),
        "token_type_ids" => Ok(Input::Types),
        "position_ids" => Ok(Input::Positions),
        STARTS => Ok(Input::Starts),
        PAST => Ok(Input::Past),
        KEPT => Ok(Input::Kept),
        _ => Err(Error::ModelFormat(format!(
            "the graph asks for an input {name:?}; known are input_ids, attention_mask, token_type_ids and position_ids"
        ))),
    }
}

fn known_input(outlet: &Outlet) -> Result<(CString, Input)> {
    let name = outlet.name();
    let input = named(name)?;
    if matches!(input, Input::Starts | Input::StartsBefore(_) | Input::Kept | Input::Past) {
        return Ok((c_name(name)?, input));
    }
    let (_, sizes) = tensor("input", outlet, TensorElementType::Int64)?;
    for (size, what) in sizes.iter().zip(["batch", "length"]) {
        if *size >= 0 {
            return Err(Error::ModelFormat(format!(
                "the graph's input {name} has a fixed {what} of {size}; export the graph with a dynamic {what}"
            )));
        }
    }
    if sizes.len() != 2 && !sizes.is_empty() {
        return Err(Error::ModelFormat(format!(
            "the graph's input {name} has the shape {sizes:?}, not [batch, length]"
        )));
    }
    Ok((c_name(name)?, input))
}

/// Every output that we know, each under the best name that the graph has for it.
pub(super) fn outputs(outlets: &[Outlet]) -> Result<Vec<(Part, CString)>> {
    let find = |part: Part| {
        let mut names = part.names().iter();
        let outlet = names.find_map(|&name| outlets.iter().find(|outlet| outlet.name() == name))?;
        Some(tensor("output", outlet, TensorElementType::Float32).and_then(|(name, _)| Ok((part, c_name(name)?))))
    };
    Part::ALL.into_iter().filter_map(find).collect()
}

/// The width that a graph declares for an output: its last dimension, where it has a size.
pub(super) fn width(outlets: &[Outlet], name: &str) -> Option<usize> {
    let outlet = outlets.iter().find(|outlet| outlet.name() == name)?;
    match outlet.dtype() {
        ValueType::Tensor { shape, .. } => shape.last().and_then(|&size| usize::try_from(size).ok()),
        _ => None,
    }
}

/// An output of a captured run: rows of `width` numbers, one for each text or for each token.
pub(super) struct Output {
    pub name: CString,
    pub width: usize,
    pub of_tokens: bool,
}

/// What a graph declares of an output.
pub(super) fn output(outlets: &[Outlet], name: &CStr) -> Option<Output> {
    let outlet = outlets.iter().find(|outlet| outlet.name().as_bytes() == name.to_bytes())?;
    let ValueType::Tensor { shape, .. } = outlet.dtype() else { return None };
    let width = usize::try_from(*shape.last()?).ok()?;
    Some(Output { name: name.to_owned(), width, of_tokens: shape.len() > 2 })
}

/// Name and dimensions of a tensor of this type; -1 is any size.
fn tensor<'a>(kind: &str, outlet: &'a Outlet, wanted: TensorElementType) -> Result<(&'a str, &'a [i64])> {
    let name = outlet.name();
    match outlet.dtype() {
        ValueType::Tensor { ty, shape, .. } if *ty == wanted => Ok((name, shape)),
        ValueType::Tensor { ty, .. } => Err(Error::ModelFormat(format!(
            "the graph's {kind} {name} is of the type {ty}, not {wanted}; export the graph anew"
        ))),
        _ => Err(Error::ModelFormat(format!("the graph's {kind} {name} is no tensor"))),
    }
}

fn c_name(name: &str) -> Result<CString> {
    CString::new(name).map_err(|_| Error::ModelFormat(format!("the name {name:?} holds a NUL")))
}
