//! What a graph takes and gives, seen to be what we feed and read before it is ever run.

use std::ffi::CString;

use ::ort::value::{Outlet, TensorElementType, ValueType};

use crate::graph::{KEPT, PAST, STARTS, layer_of_starts};
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
    /// The same before a layer of a decoder.
    StartsBefore(usize),
    /// What of each text is no passage.
    Kept,
    /// Keys and values of a beginning.
    Past,
}

/// The inputs of a graph: all of them int64, `[batch, length]`, neither of which is fixed.
pub(super) fn inputs(outlets: &[Outlet]) -> Result<Vec<(CString, Input)>> {
    outlets.iter().map(known_input).collect()
}

fn known_input(outlet: &Outlet) -> Result<(CString, Input)> {
    let name = outlet.name();
    let input = match name {
        "input_ids" => Input::Ids,
        "attention_mask" => Input::Mask,
        "token_type_ids" => Input::Types,
        "position_ids" => Input::Positions,
        STARTS => return Ok((c_name(name)?, Input::Starts)),
        PAST => return Ok((c_name(name)?, Input::Past)),
        KEPT => return Ok((c_name(name)?, Input::Kept)),
        _ if layer_of_starts(name).is_some() => {
            return Ok((c_name(name)?, Input::StartsBefore(layer_of_starts(name).unwrap_or_default())));
        }
        _ => {
            return Err(Error::ModelFormat(format!(
                "the graph asks for an input {name:?}; known are input_ids, attention_mask, token_type_ids and position_ids"
            )));
        }
    };
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
