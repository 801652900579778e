//! Attention of decoders: a token sees itself and those before it, positions turn queries and keys, and several heads share keys.

mod head;
#[cfg(test)]
mod tests;

use std::ops::Range;

use self::head::Head;
use super::{Rows, SCRATCH, groups};
use crate::kernels::cpu::Cpu;
use crate::kernels::rms_norm::RmsNorm;
use crate::kernels::rotary::{Rotary, RotaryTable};
use crate::kernels::shared::Shared;
use crate::kernels::threads::Threads;
use crate::kernels::vectors::{Kernel, Simd, run};

/// Queries of all heads of a part at most, so that the heads of a long text are work for many threads.
const QUERIES: usize = 512;

/// Which rows ask which.
#[derive(Clone, Copy)]
pub struct CausalAttention<'a> {
    /// How many heads ask.
    pub heads: usize,
    /// How many heads are asked: each by `heads / key_heads` neighbouring ones.
    pub key_heads: usize,
    /// Numbers of a head.
    pub size: usize,
    /// A row of `heads · size` numbers for each token that asks.
    pub queries: Rows<'a>,
    /// A row of `key_heads · size` numbers for each token.
    pub keys: Rows<'a>,
    /// A row of `key_heads · size` numbers for each token.
    pub values: Rows<'a>,
    /// Where each text begins in the rows of keys and values, and the end of the last one: `[texts + 1]`.
    pub starts: &'a [usize],
    /// The same for queries: the last tokens of each text ask, all or fewer.
    pub asking: &'a [usize],
    /// Tokens of the first text, where it is a beginning that all others share: they see it, and their positions go on behind it. 0 where
    /// each text stands for itself.
    pub shared: usize,
    /// What products of queries and keys are multiplied by.
    pub scale: f32,
    /// c: a score s becomes c · tanh(s / c).
    pub cap: Option<f32>,
    /// Tokens that a token sees at most, with itself.
    pub window: Option<usize>,
    /// The angles of positions.
    pub rotary: &'a RotaryTable,
    /// Of each head of a query, before it is turned.
    pub query_norm: Option<RmsNorm<'a>>,
    /// Of each head of a key, before it is turned.
    pub key_norm: Option<RmsNorm<'a>>,
}

/// Writes what the queries are answered to `out`, `[queries, heads · size]`. The numbers of a text depend on nothing but the text and the
/// beginning that it shares.
///
/// # Panics
/// Where lengths do not fit each other.
pub fn attend_causally(cpu: Cpu, threads: &dyn Threads, attention: &CausalAttention, out: &mut [f32]) {
    attention.check(out.len());
    let rotary = attention.rotary.first(attention.longest());
    let parts = attention.parts();
    let work = |part: &Part| (part.queries.len() * attention.sharing() + 1) * part.keys.len() * attention.size;
    let groups = groups(parts.iter().map(work));
    let out = Shared::new(out);
    threads.share(groups.len(), &|group| {
        let parts = &parts[groups[group].clone()];
        SCRATCH.with_borrow_mut(|(scratch, _)| {
            run(cpu.vectors, Group { attention, rotary: &rotary, parts, out: &out, scratch });
        });
    });
}

/// Queries of one text to one head of keys.
struct Part {
    key_head: usize,
    /// Where the text begins in the rows.
    start: usize,
    /// Rows of queries.
    queries: Range<usize>,
    /// The position of the first of them.
    position: usize,
    /// Positions of the keys that they see.
    keys: Range<usize>,
}

impl CausalAttention<'_> {
    /// Heads that ask one head of keys.
    fn sharing(&self) -> usize {
        self.heads / self.key_heads
    }

    /// Tokens before the first one of a text.
    fn before(&self, text: usize) -> usize {
        if text > 0 { self.shared } else { 0 }
    }

    /// Positions of the longest text.
    fn longest(&self) -> usize {
        let ends = self.starts.windows(2).enumerate().map(|(text, rows)| self.before(text) + rows[1] - rows[0]);
        ends.max().unwrap_or_default()
    }

    /// The positions that a token at `position` sees.
    fn seen(&self, position: usize) -> Range<usize> {
        self.window.map_or(0, |window| (position + 1).saturating_sub(window))..position + 1
    }

    fn parts(&self) -> Vec<Part> {
        let mut parts = Vec::new();
        let each = QUERIES.div_ceil(self.sharing());
        for (text, (rows, asking)) in self.starts.windows(2).zip(self.asking.windows(2)).enumerate() {
            let end = self.before(text) + rows[1] - rows[0];
            for key_head in 0..self.key_heads {
                for first in (asking[0]..asking[1]).step_by(each) {
                    let queries = first..asking[1].min(first + each);
                    let position = end - (asking[1] - first);
                    let keys = self.seen(position).start..position + queries.len();
                    parts.push(Part { key_head, start: rows[0], queries, position, keys });
                }
            }
        }
        parts
    }

    /// The row of the key at `position` of the text that begins at `start`.
    fn row(&self, start: usize, position: usize) -> usize {
        let before = if start > 0 { self.shared } else { 0 };
        if position < before { position } else { start + position - before }
    }

    fn check(&self, out: usize) {
        let (tokens, queries) = (self.starts.last().copied(), self.asking.last().copied());
        let (tokens, queries) = (tokens.unwrap_or_default(), queries.unwrap_or_default());
        assert!(self.size > 0 && self.key_heads > 0 && self.heads > 0, "a head has numbers");
        assert!(self.heads.is_multiple_of(self.key_heads), "as many heads ask each head of keys");
        assert!(self.rotary.size() == self.size, "angles for a head");
        assert!(self.window != Some(0), "a token sees itself");
        let norms = [self.query_norm, self.key_norm].into_iter().flatten();
        assert!(norms.into_iter().all(|norm| norm.scale.len() == self.size), "a scale for each number of a head");
        assert!(self.starts.len() == self.asking.len(), "a text asks from somewhere");
        assert!(self.starts.is_sorted() && self.asking.is_sorted(), "texts lie one behind the other");
        assert!(
            self.shared == 0 || self.starts.get(..2) == Some(&[0, self.shared]),
            "the first text is what all share"
        );
        let mut texts = self.starts.windows(2).zip(self.asking.windows(2));
        assert!(texts.all(|(text, asking)| asking[1] - asking[0] <= text[1] - text[0]), "tokens of the text ask");
        let width = self.key_heads * self.size;
        for (rows, count, width) in
            [(self.queries, queries, self.heads * self.size), (self.keys, tokens, width), (self.values, tokens, width)]
        {
            assert!(count == 0 || rows.numbers.len() >= (count - 1) * rows.stride + width, "a row for each token");
        }
        assert!(out == queries * self.heads * self.size, "a row for each answer");
    }
}

struct Group<'a> {
    attention: &'a CausalAttention<'a>,
    rotary: &'a Rotary,
    parts: &'a [Part],
    out: &'a Shared<'a>,
    scratch: &'a mut Vec<f32>,
}

impl Kernel for Group<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for part in self.parts {
            Head::new(simd, self.attention, self.rotary, part, self.scratch).answer(self.out);
        }
    }
}
