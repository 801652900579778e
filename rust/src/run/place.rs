//! Where one call runs.

use std::sync::Arc;

use super::lanes::{Lane, numbers, run_on};
use super::queue::{Permit, Queue};
use super::sessions::Sessions;
use super::watcher::Watcher;
use crate::graph::Form;
use crate::ort::{Feed, Session, Values, answers};
use crate::outputs::Outputs;
use crate::{Error, Result};

/// Lanes that take turns as one.
pub(super) struct Group {
    pub lanes: Arc<Vec<Lane<Arc<Session>>>>,
    pub queue: Queue,
}

impl Group {
    pub(super) fn new(lanes: Arc<Vec<Lane<Arc<Session>>>>) -> Self {
        Self { queue: Queue::new(numbers(&lanes)), lanes }
    }

    /// Whether anything is open.
    pub(super) fn any(&self) -> bool {
        self.lanes.iter().any(|lane| lane.open.any())
    }
}

/// The sessions that one call uses.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    pub(super) sessions: &'a Sessions,
    pub(super) group: &'a Group,
}

impl<'a> Place<'a> {
    /// The session for a form, opened now if this is the first call that needs it; of several devices that of the first. `None` where
    /// the files are no longer what they were: one object never mixes two models, so it goes on with what is open.
    ///
    /// # Errors
    /// Those of [`Session::open`].
    pub fn session(&self, form: Form) -> Result<Option<Arc<Session>>> {
        let mut lanes = self.group.lanes.iter();
        let lane = lanes.find(|lane| !lane.lost()).unwrap_or(&self.group.lanes[0]);
        self.session_on(lane, form)
    }

    pub(super) fn session_on(&self, lane: &Lane<Arc<Session>>, form: Form) -> Result<Option<Arc<Session>>> {
        let form = self.sessions.served_by(form);
        let session = lane.open.get_or_open(form, || self.sessions.open_form(form, lane))?;
        Ok(session.or_else(|| self.sessions.queries.lanes[0].open.get(form)))
    }

    /// Threads that work on the batches of a call: on CUDA some more than there are runs, so that devices need not wait for them.
    #[must_use]
    pub fn workers(&self) -> usize {
        let runs = self.group.lanes.iter().map(|lane| lane.placement.runs()).sum();
        if self.on_device() { runs + 2 } else { runs }
    }

    /// How many devices run the batches.
    pub(crate) fn devices(&self) -> usize {
        self.group.lanes.iter().filter(|lane| !lane.lost()).count()
    }

    /// Whether CUDA devices run the batches.
    pub(crate) fn on_device(&self) -> bool {
        self.sessions.device().is_cuda()
    }

    /// Whether queries come beside the bulk work that runs here, on devices, where one run keeps them waiting.
    pub(crate) fn beside_queries(&self) -> bool {
        let queries = &self.sessions.queries;
        self.on_device() && !std::ptr::eq(queries, self.group) && queries.queue.is_visited()
    }

    /// Runs a batch that was made ready for the session of this form.
    ///
    /// # Errors
    /// Those of [`Session::run`]; [`Error::Device`] where the device was lost.
    pub(crate) fn run(&self, permit: &Permit, form: Form, feed: &Feed, outputs: Outputs) -> Result<Values> {
        run_on(&self.group.lanes, permit, &self.sessions.queues(), &answers, |lane| {
            let session = self.session_on(lane, form)?;
            let session = session.ok_or_else(|| Error::Internal("a session is not open".into()))?;
            lane.run(|| session.run(feed, outputs))
        })
    }

    /// Those who wait for a run here.
    pub(crate) fn queue(&self) -> &'a Queue {
        &self.group.queue
    }

    /// Waits until there is a run to spare. Bulk work first lets a query by that runs or waits.
    pub(crate) fn enter(&self, watcher: &mut Watcher) -> Result<Permit<'a>> {
        let queries = &self.sessions.queries;
        if !std::ptr::eq(queries, self.group) {
            queries.queue.let_by(watcher)?;
        }
        self.group.queue.enter_alone(watcher)
    }
}
