//! What many texts begin with, such as the examples before each query: its keys and values are computed once and kept.

use std::sync::{Arc, MutexGuard, TryLockError};
use std::thread;
use std::time::Duration;

use super::model::Model;
use crate::batch::{Batch, Inputs, Layout, Past};
use crate::graph::Form;
use crate::outputs::Part;
use crate::run::{Watcher, interruptible};
use crate::tokenizer::Tokens;
use crate::{Error, Result};

/// Shorter ones are cheaper to compute with each text.
const SHORTEST: usize = 16;
/// Beginnings that are kept: of a model like Mistral each token takes 256 kB.
const KEPT: usize = 2;

/// How long a call waits before it looks again whether another one is done with a beginning.
const NEXT_TRY: Duration = Duration::from_millis(1);

/// Tokens, with what texts behind them need of them.
#[derive(Debug)]
pub(super) struct Beginning {
    ids: Vec<u32>,
    past: Arc<Past>,
}

impl PartialEq for Beginning {
    fn eq(&self, other: &Self) -> bool {
        self.ids == other.ids
    }
}

impl Beginning {
    /// What comes behind it in a text that begins with it.
    pub fn rest(&self, mut tokens: Tokens) -> Result<Tokens> {
        let rest = tokens.ids.strip_prefix(&self.ids[..]);
        let rest = rest.filter(|rest| !rest.is_empty());
        tokens.ids = rest.ok_or_else(|| Error::Internal("a text lost its beginning".into()))?.to_vec();
        tokens.total -= self.ids.len();
        tokens.first = tokens.first.saturating_sub(self.ids.len());
        Ok(tokens)
    }

    pub fn past(&self) -> &Arc<Past> {
        &self.past
    }
}

impl Model {
    /// A beginning of these tokens, computed now unless it is one of the last; `None` where it is not worth it, and where operators
    /// are not our own: there it is computed with each text.
    pub(super) fn beginning(&self, ids: &[u32], watcher: &mut Watcher) -> Result<Option<Arc<Beginning>>> {
        if ids.len() < SHORTEST || !self.sessions().own_operators() {
            return Ok(None);
        }
        let mut kept = self.kept(watcher)?;
        if let Some(place) = kept.iter().position(|beginning| beginning.ids == ids) {
            let found = kept.remove(place);
            kept.push(Arc::clone(&found));
            return Ok(Some(found));
        }
        let past = Arc::new(self.past_of(ids, watcher)?);
        let beginning = Arc::new(Beginning { ids: ids.to_vec(), past });
        if kept.len() == KEPT {
            kept.remove(0);
        }
        kept.push(Arc::clone(&beginning));
        Ok(Some(beginning))
    }

    /// Whoever computes one keeps the others waiting, and they may be stopped meanwhile.
    fn kept(&self, watcher: &mut Watcher) -> Result<MutexGuard<'_, Vec<Arc<Beginning>>>> {
        loop {
            match self.beginnings().try_lock() {
                Ok(kept) => return Ok(kept),
                Err(TryLockError::Poisoned(kept)) => return Ok(kept.into_inner()),
                Err(TryLockError::WouldBlock) => watcher.look()?,
            }
            thread::sleep(NEXT_TRY);
        }
    }

    fn past_of(&self, ids: &[u32], watcher: &mut Watcher) -> Result<Past> {
        let tokens = Tokens { ids: ids.to_vec(), total: ids.len(), first: ids.len() };
        self.check_ids(std::slice::from_ref(&tokens), &|_| "the beginning of all texts".into())?;
        let form = Form::of(Part::Past.into(), Layout::Packed);
        let place = self.sessions().for_batches(1)?;
        let session = super::model::session_of(place, form)?;
        let batch = Batch { rows: vec![0], length: ids.len(), layout: Layout::Packed };
        let inputs = Inputs::new(&batch, &[tokens], self.rules());
        let feed = session.feed(&inputs)?;
        let permit = place.enter(watcher)?;
        let values = interruptible(watcher, &|| session.run(&feed, form.outputs))?;
        drop(permit);
        let arrays = values.arrays()?;
        let sizes: Vec<usize> = arrays[0].shape.iter().filter_map(|&size| usize::try_from(size).ok()).collect();
        let shape = sizes.try_into().map_err(|_| Error::Internal("keys and values have three dimensions".into()))?;
        Ok(Past { shape, values: arrays[0].values.to_vec() })
    }
}
