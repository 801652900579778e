//! Where prepared tensors lie: in memory, or in a temporary file without a name, so that the system can let go of pages that
//! nobody reads.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::Builder;

use memmap2::{Mmap, MmapOptions, UncheckedAdvice};

use crate::{Error, Result};

/// Regions of a file start at multiples of this, the largest page of the systems we know.
const PAGE: u64 = 1 << 16;

/// Takes in bytes and gives them back as read-only memory.
#[derive(Default)]
pub(super) struct Store {
    file: Option<File>,
    end: u64,
    /// No file could be had, or no room in it: it is not tried again.
    full: bool,
}

/// Bytes that nobody changes any more, aligned to a page.
pub struct Region {
    map: Mmap,
    in_file: bool,
}

/// Bytes in pieces of one size. `write` fills in the zeros of a piece; several threads call it.
pub(super) struct Pieces<'a> {
    pub count: usize,
    pub size: usize,
    /// Rather in a file than in memory.
    pub in_file: bool,
    pub threads: usize,
    pub write: &'a (dyn Fn(usize, &mut [u8]) + Sync),
}

impl Region {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// Lets go of the pages that were read so far. They come back from the file.
    #[expect(unsafe_code, reason = "nobody writes to the map, so that nothing is lost with its pages")]
    pub(super) fn release(&self) {
        if self.in_file {
            // Only advice: where it is not taken the pages stay.
            let _ = unsafe { self.map.unchecked_advise(UncheckedAdvice::DontNeed) };
        }
    }
}

impl Store {
    /// Keeps these bytes.
    pub(super) fn keep(&mut self, pieces: &Pieces) -> Result<Region> {
        if pieces.in_file && !self.full {
            match self.in_file(pieces) {
                Ok(map) => return Ok(Region { map, in_file: true }),
                Err(_) => self.full = true,
            }
        }
        let map = pieces.in_memory().map_err(|error| {
            let length = pieces.length();
            Error::OutOfMemory(format!("there is no memory for {length} bytes of prepared weights: {error}"))
        })?;
        Ok(Region { map, in_file: false })
    }

    #[expect(unsafe_code, reason = "the file has no name and no other writer")]
    fn in_file(&mut self, pieces: &Pieces) -> io::Result<Mmap> {
        let start = self.end.next_multiple_of(PAGE);
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(tempfile::tempfile()?),
        };
        pieces.write_to(file, start)?;
        let map = unsafe { MmapOptions::new().offset(start).len(pieces.length()).map(&*file)? };
        self.end = start + pieces.length() as u64;
        Ok(map)
    }
}

impl Pieces<'_> {
    fn length(&self) -> usize {
        self.count * self.size
    }

    /// Written and not mapped for writing: a full disk is an error then, and not a SIGBUS.
    fn write_to(&self, file: &File, start: u64) -> io::Result<()> {
        let next = AtomicUsize::new(0);
        self.on_threads(&|| {
            let mut piece = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= self.count {
                    return Ok(());
                }
                piece.clear();
                piece.resize(self.size, 0);
                (self.write)(number, &mut piece);
                file.write_all_at(&piece, start + (number * self.size) as u64)?;
            }
        })
    }

    fn in_memory(&self) -> io::Result<Mmap> {
        let mut memory = MmapOptions::new().len(self.length()).map_anon()?;
        let pieces = Mutex::new(memory.chunks_exact_mut(self.size).enumerate());
        let next = || pieces.lock().unwrap_or_else(PoisonError::into_inner).next();
        self.on_threads(&|| {
            while let Some((number, piece)) = next() {
                (self.write)(number, piece);
            }
            Ok(())
        })?;
        memory.make_read_only()
    }

    /// Does `work` by all threads at once.
    fn on_threads(&self, work: &(dyn Fn() -> io::Result<()> + Sync)) -> io::Result<()> {
        std::thread::scope(|scope| {
            // A process that may start no more threads only needs more time.
            let start = |_| Builder::new().name("bge-fast-pack".into()).spawn_scoped(scope, work).ok();
            let others: Vec<_> = (1..self.threads.min(self.count)).map_while(start).collect();
            let own = work();
            others.into_iter().map(|thread| thread.join().unwrap_or_else(|_| panicked())).fold(own, io::Result::and)
        })
    }
}

fn panicked() -> io::Result<()> {
    Err(io::Error::other("a thread panicked"))
}
