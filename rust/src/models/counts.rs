//! What a model did since it was opened, in numbers.

use std::sync::atomic::{AtomicU64, Ordering};

use super::model::Model;
use crate::Error;
use crate::batch::Inputs;

/// Numbers that only grow. None says anything about a text.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub calls: Count,
    /// Texts or pairs that came in.
    pub items: Count,
    /// Of those that were tokenized, how many were cut.
    pub truncated: Count,
    /// That went through a graph, and what filled batches up beside them.
    pub tokens: Count,
    pub padding: Count,
    /// Texts that overflowed in float16 and were run again.
    pub redone: Count,
    /// Batches for which a device had no memory.
    pub out_of_memory: Count,
}

/// One of them.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self, more: usize) {
        self.0.fetch_add(more as u64, Ordering::Relaxed);
    }

    fn so_far(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a model did since it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// Calls, each of any number of texts or pairs.
    pub calls: u64,
    /// Texts or pairs that came in.
    pub items: u64,
    /// Texts or pairs that were cut; one that comes again in a call counts once.
    pub truncated: u64,
    /// Tokens that went through a graph; one that comes again in a call counts once.
    pub tokens: u64,
    /// Tokens that filled batches up.
    pub padding: u64,
    /// Texts or pairs that overflowed in float16 and were run again in float32.
    pub redone: u64,
    /// Batches for which a device had no memory.
    pub out_of_memory: u64,
}

impl Model {
    /// What it did so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.counts().totals()
    }

    /// How many calls wait for a run.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.sessions().waiting()
    }
}

impl Counts {
    pub(super) fn ran(&self, inputs: &Inputs) {
        let tokens = inputs.lengths.iter().sum();
        self.tokens.add(tokens);
        self.padding.add(inputs.shape[0] * inputs.shape[1] - tokens);
    }

    pub(super) fn failed(&self, error: &Error) {
        self.out_of_memory.add(usize::from(matches!(error, Error::OutOfMemory(_))));
    }

    fn totals(&self) -> Totals {
        let Self { calls, items, truncated, tokens, padding, redone, out_of_memory } = self;
        Totals {
            calls: calls.so_far(),
            items: items.so_far(),
            truncated: truncated.so_far(),
            tokens: tokens.so_far(),
            padding: padding.so_far(),
            redone: redone.so_far(),
            out_of_memory: out_of_memory.so_far(),
        }
    }
}
