//! What the first calls would wait for, done before they come.

use super::model::{Model, session_of};
use crate::Result;
use crate::batch::{Batch, FEW_SIZES, Inputs, Layout};
use crate::run::{Patience, Watcher};
use crate::tokenizer::Tokens;

impl Model {
    /// On CUDA devices captures runs of few texts, of every size that texts of up to `longest` tokens need, for the outputs of the form
    /// that was opened first; where nothing is captured, runs once.
    ///
    /// # Errors
    /// Those of a run.
    pub fn warm_up(&self, longest: usize) -> Result<()> {
        let place = self.sessions().for_batches(1)?;
        if !place.on_device() {
            return Ok(());
        }
        let form = self.sessions().first();
        let lengths = if form.layout == Layout::Few { sizes(longest) } else { vec![vec![longest.min(FEW_SIZES[0])]] };
        let session = session_of(place, form)?;
        let mut goes_on = |_| true;
        let mut watcher = Watcher::new(&mut goes_on, Patience::default());
        // All devices at once, so that each has its turn.
        let permits = (0..place.devices()).map(|_| place.enter(&mut watcher)).collect::<Result<Vec<_>>>()?;
        for lengths in lengths {
            let text =
                |&length: &usize| Tokens { ids: vec![self.rules().pad_id; length], total: length, first: length };
            let texts: Vec<Tokens> = lengths.iter().map(text).collect();
            let batch = Batch { rows: (0..texts.len()).collect(), length: lengths[0], layout: form.layout };
            let inputs = Inputs::new(&batch, &texts, self.rules());
            let feed = session.feed(&inputs)?;
            permits.iter().try_for_each(|permit| place.run(permit, form, &feed, form.outputs).map(drop))?;
        }
        Ok(())
    }
}

/// Lengths of texts that take a run of each size, one text and two.
fn sizes(longest: usize) -> Vec<Vec<usize>> {
    let mut sizes = Vec::new();
    let mut below = 0;
    for tokens in FEW_SIZES {
        sizes.extend((longest > below).then(|| vec![tokens.min(longest)]));
        sizes.extend((2 * longest > below).then(|| vec![(tokens / 2).min(longest); 2]));
        below = tokens;
    }
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_that_texts_can_have_is_met_once_by_texts_that_there_can_be() {
        assert_eq!(sizes(8192).len(), 2 * FEW_SIZES.len());
        assert_eq!(sizes(16), [vec![16], vec![8, 8], vec![16, 16]]);
        assert_eq!(sizes(60), [vec![16], vec![8; 2], vec![32], vec![16; 2], vec![60], vec![32; 2], vec![60; 2]]);
    }
}
