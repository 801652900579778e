//! Lengths → batches, each with the layout it is run in: the one place that decides how texts go through a graph.

use crate::{Error, Result};

/// Tokens, padding included, of one run on the CPU. Relative bulk speed on 2 cores, bge-small shape:
/// 256: 0.97, 512: 1.00, 1024: 0.94, 4096: 0.76 with 2.4 × the memory.
pub const TOKEN_BUDGET: usize = 512;
/// The same on a CUDA device, which small runs leave idle. Relative bulk speed on one H200, bge-small in fp16, abstracts:
/// 512: 0.15, 4096: 0.83, 16384: 1.00, 65536: 0.95.
pub const CUDA_TOKEN_BUDGET: usize = 16_384;
/// The same for packed texts. Relative bulk speed on one H200, BERT base in fp16, 10 – 500 tokens: 4096: 0.73, 16384: 0.87, 65536: 1.00.
pub const PACKED_TOKEN_BUDGET: usize = 65_536;
/// Tokens of a run of bulk work on a CUDA device while queries come: as long as a query may have to wait.
const BESIDE_QUERIES: usize = 8192;
/// Texts and tokens of a run that a CUDA device replays.
pub(crate) const FEW_TEXTS: usize = 8;
pub(crate) const FEW_TOKENS: usize = 512;
/// Tokens of such runs: the least that takes the texts.
pub(crate) const FEW_SIZES: [usize; 6] = [16, 32, 64, 128, 256, FEW_TOKENS];
/// A text of more tokens goes alone on the CPU, and where texts are padded, whatever the budget: it needs no mask, and attention
/// with one takes memory by the square.
pub(crate) const ALONE: usize = 512;
/// Tokens from which on a text takes the layout that saves memory.
const LONG: usize = 2048;

/// How the tokens of a batch go through a graph. Each layout is a form of the graph of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layout {
    /// Texts of one length. Without a mask attention runs in tiles: 8,192 tokens need no 8,192 × 8,192 matrix.
    Plain,
    /// Texts padded to the longest, with an `attention_mask`.
    Masked,
    /// Texts one behind the other, without padding, and where each begins: for our own operators, and for those for CUDA.
    Packed,
    /// Like `Packed`, and all that a call has are few texts of few tokens: on CUDA such runs are captured, and replayed with other ids.
    Few,
    /// Like `Plain`, and the feed-forward part takes the tokens in two halves: the same numbers, and for 8,192 tokens of XLM-R
    /// large 305 MB instead of 705. From 2,048 tokens on it costs no time.
    Halved,
}

impl std::str::FromStr for Layout {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "plain" => Ok(Self::Plain),
            "masked" => Ok(Self::Masked),
            "halved" => Ok(Self::Halved),
            "packed" => Ok(Self::Packed),
            "few" => Ok(Self::Few),
            other => Err(Error::Value(format!("{other:?} is not a layout of a batch"))),
        }
    }
}

/// What one run takes.
#[derive(Debug, Clone, Copy)]
pub struct Capacity {
    /// Tokens, padding included; a longer text goes alone.
    pub tokens: usize,
    /// Texts.
    pub rows: usize,
    /// How texts of different lengths may share a run.
    pub mixed: Mixed,
    /// A text of more tokens goes alone.
    pub alone: usize,
    /// Whether there is a layout for few texts.
    pub few: bool,
}

/// How texts of different lengths share a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mixed {
    /// They do not.
    Apart,
    /// Padded to the longest.
    Padded,
    /// One behind the other.
    Packed,
}

/// Texts that go through the graph together.
#[derive(Debug, PartialEq, Eq)]
pub struct Batch {
    /// Places of the texts in the caller's list.
    pub rows: Vec<usize>,
    /// Tokens of the longest of them.
    pub length: usize,
    /// How they are laid out.
    pub layout: Layout,
}

/// Groups texts by token count, longest first, so that memory peaks in the first batch and the last ones end together.
#[must_use]
pub fn plan(lengths: &[usize], capacity: Capacity) -> Vec<Batch> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&row| std::cmp::Reverse(lengths[row]));
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut tokens = 0;
    for row in order {
        match groups.last_mut() {
            Some(group) if fits(group, tokens, lengths[row], lengths[group[0]], capacity) => group.push(row),
            _ => {
                groups.push(vec![row]);
                tokens = 0;
            }
        }
        tokens += lengths[row];
    }
    if let ([group], true) = (&groups[..], capacity.few)
        && group.len() <= FEW_TEXTS
        && tokens <= FEW_TOKENS
    {
        return vec![Batch { rows: group.clone(), length: lengths[group[0]], layout: Layout::Few }];
    }
    if capacity.mixed != Mixed::Apart {
        return groups.into_iter().map(|rows| laid_out(rows, lengths, capacity.mixed)).collect();
    }
    let equal = |one: &usize, other: &usize| lengths[*one] == lengths[*other];
    let groups = groups.iter().flat_map(|group| group.chunk_by(equal));
    groups.map(|rows| laid_out(rows.to_vec(), lengths, capacity.mixed)).collect()
}

/// How many texts of a batch, at least one, make a run that queries can wait for: of these lengths, the longest first.
pub(crate) fn beside_queries(lengths: impl Iterator<Item = usize>) -> usize {
    let sums = lengths.scan(0, |sum, length| {
        *sum += length;
        Some(*sum)
    });
    sums.take_while(|&sum| sum <= BESIDE_QUERIES).count().max(1)
}

/// Whether one more text, no longer than those of `group`, fits beside them.
fn fits(group: &[usize], tokens: usize, length: usize, longest: usize, capacity: Capacity) -> bool {
    let rows = group.len() + 1;
    let tokens = if capacity.mixed == Mixed::Packed { tokens + length } else { rows * longest };
    rows <= capacity.rows && tokens <= capacity.tokens && longest <= capacity.alone
}

/// A batch of texts that come longest first.
fn laid_out(rows: Vec<usize>, lengths: &[usize], mixed: Mixed) -> Batch {
    let (longest, shortest) = (lengths[rows[0]], lengths[rows[rows.len() - 1]]);
    let layout = match longest {
        _ if mixed == Mixed::Packed => Layout::Packed,
        _ if shortest < longest => Layout::Masked,
        LONG.. => Layout::Halved,
        _ => Layout::Plain,
    };
    Batch { rows, length: longest, layout }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rows: usize) -> Capacity {
        Capacity { tokens: 512, rows, mixed: Mixed::Padded, alone: ALONE, few: false }
    }

    #[test]
    fn every_row_is_in_exactly_one_batch_and_budgets_hold() {
        let lengths: Vec<usize> = (0..500).map(|i| 1 + (i * 7919) % 300).collect();
        let batches = plan(&lengths, of(16));
        let mut rows: Vec<usize> = batches.iter().flat_map(|b| b.rows.clone()).collect();
        rows.sort_unstable();
        assert_eq!(rows, (0..500).collect::<Vec<_>>());
        for batch in &batches {
            assert_eq!(batch.length, batch.rows.iter().map(|&r| lengths[r]).max().expect("no empty batch"));
            let padded = batch.rows.iter().any(|&r| lengths[r] < batch.length);
            assert_eq!(batch.layout == Layout::Masked, padded);
            assert!(batch.rows.len() <= 16);
            assert!(batch.rows.len() == 1 || batch.rows.len() * batch.length <= 512);
        }
    }

    #[test]
    fn without_a_mask_every_batch_has_one_length() {
        let batches = plan(&[3, 5, 5, 2, 3], Capacity { mixed: Mixed::Apart, ..of(16) });
        let rows: Vec<_> = batches.iter().map(|batch| batch.rows.clone()).collect();
        assert_eq!(rows, [vec![1, 2], vec![0, 4], vec![3]]);
        assert_eq!(batches.iter().map(|batch| batch.length).collect::<Vec<_>>(), [5, 3, 2]);
        assert!(batches.iter().all(|batch| batch.layout == Layout::Plain));
    }

    #[test]
    fn packed_texts_share_a_run_up_to_the_budget_without_padding() {
        let batches = plan(&[100, 300, 5, 400, 600, 7], Capacity { mixed: Mixed::Packed, ..of(16) });
        let rows: Vec<_> = batches.iter().map(|batch| batch.rows.clone()).collect();
        assert_eq!(rows, [vec![4], vec![3], vec![1, 0, 5, 2]]);
        assert!(batches.iter().all(|batch| batch.layout == Layout::Packed));
    }

    #[test]
    fn few_texts_have_a_layout_of_their_own_where_they_are_all_there_is() {
        let few = Capacity { mixed: Mixed::Packed, few: true, ..of(16) };
        let layouts = |lengths: &[usize]| plan(lengths, few).iter().map(|batch| batch.layout).collect::<Vec<_>>();
        assert_eq!(layouts(&[512]), [Layout::Few]);
        assert_eq!(layouts(&[64; 8]), [Layout::Few]);
        assert_eq!(layouts(&[513]), [Layout::Packed]);
        assert_eq!(layouts(&[1; 9]), [Layout::Packed]);
        assert_eq!(layouts(&[512, 3]), [Layout::Packed, Layout::Packed]);
        assert_eq!(plan(&[3], Capacity { few: false, ..few })[0].layout, Layout::Packed);
    }

    #[test]
    fn a_text_over_the_budget_goes_alone_and_a_long_one_in_halves() {
        let batches = plan(&[8192, 3, 2047], of(256));
        assert_eq!(batches.iter().map(|b| b.rows.clone()).collect::<Vec<_>>(), [vec![0], vec![2], vec![1]]);
        let layouts: Vec<_> = batches.iter().map(|batch| batch.layout).collect();
        assert_eq!(layouts, [Layout::Halved, Layout::Plain, Layout::Plain]);
    }

    #[test]
    fn a_long_text_goes_alone_whatever_the_budget() {
        let batches = plan(&[600, 600, 512, 512], Capacity { tokens: CUDA_TOKEN_BUDGET, ..of(256) });
        assert_eq!(batches.iter().map(|b| b.rows.clone()).collect::<Vec<_>>(), [vec![0], vec![1], vec![2, 3]]);
    }

    #[test]
    fn beside_queries_runs_are_small_but_never_empty() {
        assert_eq!(beside_queries([9000, 3].into_iter()), 1);
        assert_eq!(beside_queries([4096, 4000, 96, 1].into_iter()), 3);
        assert_eq!(beside_queries([128; 512].into_iter()), 64);
    }

    #[test]
    fn one_text_a_batch_and_nothing_at_all() {
        assert_eq!(plan(&[2, 2, 2], of(1)).len(), 3);
        assert!(plan(&[], of(1)).is_empty());
    }
}
