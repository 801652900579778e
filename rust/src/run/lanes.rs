//! The devices of a model, each with what is open there.

use std::sync::atomic::{AtomicBool, Ordering};

use super::opened::Opened;
use super::queue::{Permit, Queue};
use super::worker::Worker;
use crate::graph::Form;
use crate::ort::Placement;
use crate::{Error, Result};

/// A device, or one way of using the CPU, with sessions `S`.
pub(super) struct Lane<S> {
    pub placement: Placement,
    pub open: Opened<Form, S>,
    worker: Option<Worker>,
    lost: AtomicBool,
}

impl<S> Lane<S> {
    pub(super) fn new(placement: Placement) -> Self {
        let worker = match placement {
            Placement::Cpu { .. } => None,
            Placement::Cuda(_) => Some(Worker::new(placement.to_string())),
        };
        Self { placement, open: Opened::default(), worker, lost: AtomicBool::new(false) }
    }

    /// Does `work` on the thread of the device, where it has one.
    pub(super) fn run<R: Send>(&self, work: impl FnOnce() -> Result<R> + Send) -> Result<R> {
        match &self.worker {
            Some(worker) => worker.run(work),
            None => work(),
        }
    }

    pub(super) fn lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }
}

/// A lane for each, and for each run that it takes its number.
pub(super) fn numbers<S>(lanes: &[Lane<S>]) -> Vec<usize> {
    let runs = |(number, lane): (usize, &Lane<S>)| std::iter::repeat_n(number, lane.placement.runs());
    lanes.iter().enumerate().flat_map(runs).collect()
}

/// Does `work` where a permit says. If the device does not `answer` any more after a failure, `queues` let nobody in to it from then on.
pub(super) fn run_on<S, R>(
    lanes: &[Lane<S>],
    permit: &Permit,
    queues: &[&Queue],
    answers: &dyn Fn(Placement) -> bool,
    work: impl FnOnce(&Lane<S>) -> Result<R>,
) -> Result<R> {
    let lane = &lanes[permit.lane()];
    work(lane).map_err(|error| {
        if matches!(error, Error::OutOfMemory(_)) || answers(lane.placement) {
            return error;
        }
        lane.lost.store(true, Ordering::Release);
        let left: Vec<_> = lanes.iter().filter(|lane| !lane.lost()).map(|lane| lane.placement.to_string()).collect();
        let rest = if left.is_empty() {
            "Open the model again in a new process".to_owned()
        } else {
            format!("Other calls go on with {}", left.join(", "))
        };
        let why = format!("{} was lost: {error}. {rest}", lane.placement);
        for queue in queues {
            queue.lose(permit.lane(), &why);
        }
        Error::Device(why)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    use super::*;
    use crate::batch::{Batch, Layout};
    use crate::run::watcher::{Patience, Watcher};
    use crate::run::work::{Event, Work};

    /// Two devices, what they did, and which of them do not answer.
    struct Machine {
        lanes: Vec<Lane<()>>,
        queue: Queue,
        runs: [AtomicUsize; 2],
        running: [AtomicUsize; 2],
        broken: [AtomicBool; 2],
    }

    /// Each batch has the number of its place, twice.
    struct Chunk(Vec<Batch>);

    impl AsRef<[Batch]> for Chunk {
        fn as_ref(&self) -> &[Batch] {
            &self.0
        }
    }

    impl Machine {
        fn new() -> Self {
            let lanes: Vec<_> = [0, 1].map(|index| Lane::new(Placement::Cuda(index))).into();
            let queue = Queue::new(numbers(&lanes));
            Self { lanes, queue, runs: Default::default(), running: Default::default(), broken: Default::default() }
        }

        fn run(&self, lane: usize, batch: &Batch) -> Result<Vec<usize>> {
            assert_eq!(self.running[lane].fetch_add(1, Ordering::SeqCst), 0, "one run at a time");
            std::thread::sleep(Duration::from_millis(1));
            self.running[lane].fetch_sub(1, Ordering::SeqCst);
            self.runs[lane].fetch_add(1, Ordering::SeqCst);
            if self.broken[lane].load(Ordering::SeqCst) {
                return Err(Error::Internal("CUDA failure 719".into()));
            }
            Ok(batch.rows.iter().map(|row| 10 * row).collect())
        }

        /// What becomes of so many batches, by their rows.
        fn call(&self, batches: usize) -> Result<Vec<usize>> {
            let batch = |place| Batch { rows: vec![2 * place, 2 * place + 1], length: 1, layout: Layout::Packed };
            let mut results = vec![0; 2 * batches];
            let run = |_: &Chunk, batch: &Batch, watcher: &mut Watcher| {
                let permit = self.queue.enter_alone(watcher)?;
                let answers = |placement: Placement| {
                    let Placement::Cuda(index) = placement else { panic!("there are only devices") };
                    !self.broken[usize::try_from(index).expect("small")].load(Ordering::SeqCst)
                };
                let work = |lane: &Lane<()>| lane.run(|| self.run(permit.lane(), batch));
                Ok(run_on(&self.lanes, &permit, &[&self.queue], &answers, work)?)
            };
            let mut take = |event| {
                let Event::Ran(chunk, place, rows) = event else { return Ok(0) };
                let rows = rows.map_err(|error| match error {
                    crate::outputs::RowError::Other(error) => error,
                    crate::outputs::RowError::NotFinite { .. } => Error::Internal("is finite".into()),
                })?;
                let chunk: std::sync::Arc<Chunk> = chunk;
                chunk.0[place].rows.iter().zip(rows).for_each(|(&row, value)| results[row] = value);
                Ok(2)
            };
            let chunks = std::iter::once(Ok(Chunk((0..batches).map(batch).collect())));
            let mut goes_on = |_| true;
            let mut watcher = Watcher::new(&mut goes_on, Patience::default());
            Work::new(chunks, &run, &AtomicBool::new(false)).finish(4, &mut take, &mut watcher)?;
            Ok(results)
        }

        fn runs(&self) -> [usize; 2] {
            [0, 1].map(|lane| self.runs[lane].load(Ordering::SeqCst))
        }
    }

    #[test]
    fn devices_share_a_call_and_rows_keep_their_order() {
        let machine = Machine::new();
        let found = machine.call(40).expect("both work");
        assert_eq!(found, (0..80).map(|row| 10 * row).collect::<Vec<_>>());
        let runs = machine.runs();
        assert!(runs[0] + runs[1] == 40 && runs.iter().all(|&runs| runs > 5), "{runs:?}");
    }

    #[test]
    fn a_device_that_is_lost_fails_its_call_by_name_and_others_go_on_without_it() {
        let machine = Machine::new();
        machine.broken[1].store(true, Ordering::SeqCst);
        let lost = machine.call(40).expect_err("one is broken").to_string();
        assert!(lost.contains("cuda:1 was lost: ") && lost.contains("go on with cuda:0"), "{lost}");
        let before = machine.runs();
        assert_eq!(machine.call(10).expect("one works").len(), 20);
        assert_eq!(machine.runs(), [before[0] + 10, before[1]]);
        machine.broken[0].store(true, Ordering::SeqCst);
        let lost = machine.call(10).expect_err("both are broken").to_string();
        assert!(lost.contains("cuda:0 was lost") && lost.contains("in a new process"), "{lost}");
        let before = machine.runs();
        assert_eq!(machine.call(10).expect_err("none is left").to_string(), lost);
        assert_eq!(machine.runs(), before);
    }
}
