//! Attention over texts that lie one behind the other, without padding.

mod answers;
#[cfg(target_arch = "x86_64")]
mod bf16;
mod block;
mod causal;
mod head;
mod pack;
#[cfg(test)]
mod tests;
mod tile;

use std::cell::RefCell;
use std::ops::Range;

pub use self::causal::{CausalAttention, attend_causally};
use self::head::Head;
use super::cpu::Cpu;
use super::exponential::LOG2_E;
use super::shared::Shared;
use super::threads::Threads;
use super::vectors::{Kernel, Simd, run};

/// Queries of a part at most, so that the heads of a long text are work for many threads.
const QUERIES: usize = 1024;
/// Multiplications that are worth a call of another thread.
const SHARE: usize = 1 << 18;

/// Rows in memory, each `stride` numbers behind the one before: `heads · size` numbers from the first of each are read.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    /// From the first number of the first row on.
    pub numbers: &'a [f32],
    /// From row to row.
    pub stride: usize,
}

/// What is added to scores by the distance of two tokens.
#[derive(Clone, Copy)]
pub struct Distances<'a> {
    /// `[heads, 2 · reach - 1]`: for the key `reach - 1` tokens before the query up to that as many behind it.
    pub table: &'a [f32],
    /// Tokens of the longest text that it is made for.
    pub reach: usize,
}

/// Which rows ask which.
#[derive(Clone, Copy)]
pub struct Attention<'a> {
    /// How many heads there are.
    pub heads: usize,
    /// Numbers of a head.
    pub size: usize,
    /// A row for each token that asks.
    pub queries: Rows<'a>,
    /// A row for each token.
    pub keys: Rows<'a>,
    /// A row for each token.
    pub values: Rows<'a>,
    /// Where each text begins in the rows of keys and values, and the end of the last one: `[texts + 1]`.
    pub starts: &'a [usize],
    /// The same for queries: the first tokens of each text ask, all or fewer.
    pub asking: &'a [usize],
    /// What is added to scores.
    pub distances: Option<Distances<'a>>,
    /// Whether products are in float32; if not, they are in bfloat16 with sums in float32, where the processor has that.
    pub exact: bool,
}

/// Writes what the queries are answered to `out`, `[queries, heads · size]`. The numbers of a text depend on nothing but the text.
///
/// # Panics
/// Where lengths do not fit each other.
pub fn attend(cpu: Cpu, threads: &dyn Threads, attention: &Attention, out: &mut [f32]) {
    attention.check(out.len());
    let parts = attention.parts();
    let work = |part: &Part| (part.queries.len() + 1) * attention.keys_of(part.text).len() * attention.size;
    let groups = groups(parts.iter().map(work));
    let out = Shared::new(out);
    threads.share(groups.len(), &|group| {
        let parts = &parts[groups[group].clone()];
        SCRATCH.with_borrow_mut(|scratch| match cpu.bf16 {
            #[cfg(target_arch = "x86_64")]
            #[expect(unsafe_code, reason = "a processor with bfloat16 has what this is compiled for")]
            Some(kind) if !attention.exact => unsafe {
                bf16::answer_parts(kind, attention, parts, &out, (&mut scratch.0, &mut scratch.1));
            },
            _ => run(cpu.vectors, Group { attention, parts, out: &out, scratch: &mut scratch.0 }),
        });
    });
}

/// Neighbouring parts that are enough work together, by the multiplications of each.
fn groups(parts: impl ExactSizeIterator<Item = usize>) -> Vec<Range<usize>> {
    let (mut groups, mut first, mut work) = (Vec::new(), 0, 0);
    let last = parts.len();
    for (place, part) in parts.enumerate() {
        work += part;
        if work >= SHARE || place + 1 == last {
            groups.push(first..place + 1);
            (first, work) = (place + 1, 0);
        }
    }
    groups
}

thread_local! {
    /// Packed keys and values and the scores of one head: a few MB where texts are long.
    static SCRATCH: RefCell<(Vec<f32>, Vec<u16>)> = const { RefCell::new((Vec::new(), Vec::new())) };
}

/// Queries of one head of one text.
struct Part {
    text: usize,
    head: usize,
    queries: Range<usize>,
}

impl Distances<'_> {
    /// Adds to the scores, times log2(e), of one query with the first keys.
    #[inline(always)]
    fn add_to(self, scores: &mut [f32], head: usize, query: usize) {
        let nearest = head * (2 * self.reach - 1) + self.reach - 1 - query;
        let added = &self.table[nearest..][..scores.len()];
        for (score, added) in scores.iter_mut().zip(added) {
            *score += added * LOG2_E;
        }
    }
}

impl Attention<'_> {
    fn keys_of(&self, text: usize) -> Range<usize> {
        self.starts[text]..self.starts[text + 1]
    }

    fn parts(&self) -> Vec<Part> {
        let mut parts = Vec::new();
        for (text, asking) in self.asking.windows(2).enumerate() {
            for head in 0..self.heads {
                for first in (asking[0]..asking[1]).step_by(QUERIES) {
                    parts.push(Part { text, head, queries: first..asking[1].min(first + QUERIES) });
                }
            }
        }
        parts
    }

    fn check(&self, out: usize) {
        let width = self.heads * self.size;
        let (tokens, queries) = (self.starts.last().copied(), self.asking.last().copied());
        let (tokens, queries) = (tokens.unwrap_or_default(), queries.unwrap_or_default());
        assert!(self.size > 0 && self.heads > 0, "a head has numbers");
        assert!(self.starts.len() == self.asking.len(), "a text asks from somewhere");
        assert!(self.starts.is_sorted() && self.asking.is_sorted(), "texts lie one behind the other");
        let mut texts = self.starts.windows(2).zip(self.asking.windows(2));
        assert!(texts.all(|(text, asking)| asking[1] - asking[0] <= text[1] - text[0]), "tokens of the text ask");
        for (rows, count) in [(self.queries, queries), (self.keys, tokens), (self.values, tokens)] {
            assert!(count == 0 || rows.numbers.len() >= (count - 1) * rows.stride + width, "a row for each token");
        }
        assert!(out == queries * width, "a row for each answer");
        if let Some(distances) = self.distances {
            assert!(distances.table.len() == self.heads * (2 * distances.reach - 1), "a column for each distance");
            let longest = self.starts.windows(2).map(|text| text[1] - text[0]).max();
            assert!(longest.unwrap_or_default() <= distances.reach, "a column for each distance in a text");
        }
    }
}

struct Group<'a> {
    attention: &'a Attention<'a>,
    parts: &'a [Part],
    out: &'a Shared<'a>,
    scratch: &'a mut Vec<f32>,
}

impl Kernel for Group<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for part in self.parts {
            Head::new(simd, self.attention, part, self.scratch).answer(self.attention, part, self.out);
        }
    }
}
