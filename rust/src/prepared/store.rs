//! Where prepared tensors lie: in a temporary file without a name, so that the system can let go of pages that nobody reads,
//! or in memory where no such file can be had.

use std::fs::File;
use std::io::Write;

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

/// Bytes that nobody changes any more.
pub struct Region {
    map: Mmap,
    in_file: bool,
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
    /// Keeps `length` bytes, which come in blocks.
    pub(super) fn keep(&mut self, length: usize, blocks: impl Iterator<Item = Vec<u8>>) -> Result<Region> {
        let no_room = |error: std::io::Error| {
            Error::OutOfMemory(format!("there is no memory for {length} bytes of weights as float32: {error}"))
        };
        let mut memory = MmapOptions::new().len(length).map_anon().map_err(no_room)?;
        let mut place = 0;
        for block in blocks {
            memory[place..place + block.len()].copy_from_slice(&block);
            place += block.len();
        }
        match self.write(&memory) {
            Some(map) => Ok(Region { map, in_file: true }),
            None => Ok(Region { map: memory.make_read_only().map_err(no_room)?, in_file: false }),
        }
    }

    /// A map of these bytes in the file; `None` where there is no file, or no room left in it.
    fn write(&mut self, bytes: &[u8]) -> Option<Mmap> {
        if self.full {
            return None;
        }
        let map = self.try_write(bytes);
        self.full = map.is_err();
        map.ok()
    }

    #[expect(unsafe_code, reason = "the file has no name and no other writer")]
    fn try_write(&mut self, bytes: &[u8]) -> std::io::Result<Mmap> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(tempfile::tempfile()?),
        };
        // Written and not mapped for writing: a full disk is an error then, and not a SIGBUS.
        let padding = vec![0; usize::try_from(self.end.next_multiple_of(PAGE) - self.end).unwrap_or_default()];
        file.write_all(&padding)?;
        file.write_all(bytes)?;
        let start = self.end + padding.len() as u64;
        self.end = start + bytes.len() as u64;
        unsafe { MmapOptions::new().offset(start).len(bytes.len()).map(&*file) }
    }
}
