//! The forms that a checkpoint's graph can have.

use crate::batch::Layout;
use crate::outputs::Outputs;
use crate::{Error, Result};

/// One form of a checkpoint's graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Form {
    /// What it puts out. Where that is one row a text, the last layer computes nothing else.
    pub outputs: Outputs,
    /// Which batches it takes.
    pub layout: Layout,
    /// Computed in 16 bits where the model is, on a CUDA device.
    pub half: bool,
    /// How far through a decoder's layers it goes.
    pub depth: Depth,
    /// Texts go on behind a beginning whose keys and values are there already.
    pub past: bool,
}

impl Form {
    /// Through all layers, with nothing that texts begin with.
    #[must_use]
    pub fn of(outputs: Outputs, layout: Layout) -> Self {
        Self { outputs, layout, half: true, depth: Depth::default(), past: false }
    }
}

/// How far texts go through a decoder's layers, and with how many of their tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Depth {
    /// Bit k: there is a score after k layers. None: after all layers.
    pub cutoffs: u64,
    /// Bit k: before layer k, counted from 0, runs of a passage's tokens become one.
    pub compressed: u64,
    /// Tokens of such a run.
    pub ratio: u32,
}

impl Depth {
    /// Scores after so many layers, none meaning all; before each of `compressed`, counted from 0, runs of `ratio` tokens become one. What
    /// has no effect is left out, so that equal depths are the same.
    ///
    /// # Errors
    /// [`Error::Value`] for a layer that is out of reach.
    pub fn of(cutoffs: &[usize], compressed: &[usize], ratio: u32) -> Result<Self> {
        let last = cutoffs.iter().copied().max().unwrap_or(usize::MAX);
        let works = |layer: usize| ratio > 1 && (1..last.min(u64::BITS as usize)).contains(&layer);
        let compressed = bits(compressed.iter().copied().filter(|&layer| works(layer)))?;
        Ok(Self { cutoffs: bits(cutoffs.iter().copied())?, compressed, ratio: if compressed == 0 { 0 } else { ratio } })
    }

    /// Layers of this many after which there is a score, ascending.
    #[must_use]
    pub fn cutoffs(self, layers: usize) -> Vec<usize> {
        if self.cutoffs == 0 { vec![layers] } else { (0..64).filter(|&layer| bit(self.cutoffs, layer)).collect() }
    }

    /// Layers before which tokens are averaged.
    pub fn compressing(self) -> impl Iterator<Item = usize> {
        (1..64).filter(move |&layer| bit(self.compressed, layer))
    }
}

fn bits(mut layers: impl Iterator<Item = usize>) -> Result<u64> {
    layers.try_fold(0, |set, layer| match layer {
        0..64 => Ok(set | 1 << layer),
        _ => Err(Error::Value(format!("layer {layer} cannot be asked for: there are at most 63"))),
    })
}

fn bit(set: u64, place: usize) -> bool {
    place < 64 && set >> place & 1 == 1
}
