//! torch's zip format, which `torch.save` writes since 1.6: a pickle that says what is where, and one uncompressed file for
//! each storage, so that tensors can be used where they lie.

use std::io::Cursor;
use std::ops::Range;

use zip::read::{ArchiveOffset, Config, ZipArchive};

use super::pickle::{self, ElementType, View};
use super::stored::{Dtype, MAX_TENSORS, Stored, no_weight, shown};
use crate::error::{Error, Result};

/// Bytes of the pickle; BGE-M3's takes 50 kB.
const MAX_PICKLE: usize = 64 << 20;
/// Files in the archive: a storage each, and a few of torch's own.
const MAX_FILES: u64 = MAX_TENSORS as u64 + 1000;
/// A pickled number, the first thing in a file of torch before 1.6, from its second opcode on.
const LEGACY: &[u8] = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";

/// Whether a file of these bytes means to be torch's zip.
pub(crate) fn is_zip(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PK\x03\x04")
}

/// Whether torch before 1.6 wrote a file of these bytes.
pub(crate) fn is_legacy(bytes: &[u8]) -> bool {
    let start = &bytes[..bytes.len().min(32)];
    start.windows(LEGACY.len()).any(|window| window == LEGACY)
}

/// The tensors of the file `name`.
pub(crate) fn tensors(name: &str, bytes: &[u8]) -> Result<Vec<Stored>> {
    let refused = |why: String| Error::ModelFormat(format!("{name} refused: {why}"));
    let mut archive = Archive::open(bytes).map_err(refused)?;
    let place = archive.find("data.pkl").map_err(refused)?.ok_or_else(|| refused("it has no data.pkl".to_owned()))?;
    if place.len() > MAX_PICKLE {
        return Err(refused(format!("its pickle of {} bytes is longer than {MAX_PICKLE}", place.len())));
    }
    // A copy, which nobody changes while it is read.
    let pickle = bytes[place].to_vec();
    let views = pickle::tensors(&pickle).map_err(refused)?;
    let locate = |(tensor, view): (&str, View<'_>)| {
        archive.locate(tensor, &view).map_err(|why| refused(format!("its tensor {}: {why}", shown(tensor))))
    };
    views.into_iter().map(locate).collect()
}

/// The file's directory. Errors say what is wrong with the file.
struct Archive<'a> {
    bytes: &'a [u8],
    zip: ZipArchive<Cursor<&'a [u8]>>,
    /// The folder that all its files are in.
    root: String,
}

impl<'a> Archive<'a> {
    fn open(bytes: &'a [u8]) -> std::result::Result<Self, String> {
        check_count(bytes)?;
        // Offsets count from the file's start: nothing is searched for in a file of gigabytes.
        let config = Config { archive_offset: ArchiveOffset::Known(0) };
        let zip = ZipArchive::with_config(config, Cursor::new(bytes)).map_err(|error| {
            format!("it is a zip archive that is cut off or damaged ({error}). Download it or save it again")
        })?;
        if zip.has_duplicate_names() {
            return Err("two files of its archive have the same name".to_owned());
        }
        let pickles = zip.file_names_raw().filter_map(|name| std::str::from_utf8(name).ok()?.strip_suffix("/data.pkl"));
        let roots: Vec<_> = pickles.filter(|root| !root.contains('/')).map(str::to_owned).collect();
        let [root] = <[String; 1]>::try_from(roots).map_err(|roots| {
            format!("it is a zip archive with {} data.pkl, so torch.save did not write it", roots.len())
        })?;
        let mut archive = Self { bytes, zip, root };
        if let Some(place) = archive.find("byteorder")?
            && bytes[place] != *b"little"
        {
            return Err("its numbers are not little-endian. Save it again on a usual machine".to_owned());
        }
        Ok(archive)
    }

    /// Where in the file an archive's file lies.
    fn find(&mut self, name: &str) -> std::result::Result<Option<Range<usize>>, String> {
        let Some(index) = self.zip.index_for_name_raw(format!("{}/{name}", self.root).as_bytes()) else {
            return Ok(None);
        };
        let name = shown(name);
        let file =
            self.zip.by_index_raw(index).map_err(|error| format!("{name} in its archive is damaged ({error})"))?;
        if file.compression() != zip::CompressionMethod::Stored || file.encrypted() {
            return Err(
                "its archive is compressed, so it cannot be used where it lies. Save it again with torch.save \
                        or as safetensors"
                    .to_owned(),
            );
        }
        let length = self.bytes.len() as u64;
        let place = file.data_start().and_then(|start| Some(start..start.checked_add(file.size())?));
        match place {
            Some(Range { start, end }) if end <= length && file.size() == file.compressed_size() => {
                let place = usize::try_from(start).ok().zip(usize::try_from(end).ok());
                place.map(|(start, end)| Some(start..end)).ok_or_else(|| "it is too long".to_owned())
            }
            _ => Err(format!("{name} in its archive passes the end of the file. Download it again")),
        }
    }

    /// Where in the file a tensor lies.
    fn locate(&mut self, name: &str, view: &View<'_>) -> std::result::Result<Stored, String> {
        let (_, size) = view.storage.element;
        let file = format!("data/{}", view.storage.key);
        let place = self.find(&file)?.ok_or_else(|| format!("there is no {} in its archive", shown(&file)))?;
        let stored = view.storage.count.checked_mul(size);
        if stored.is_none_or(|stored| stored > place.len() as u64) {
            return Err(format!("{} is shorter than the pickle says", shown(&file)));
        }
        let count = if view.shape.contains(&0) {
            Some(0)
        } else {
            view.shape.iter().try_fold(1, |count: u64, &size| count.checked_mul(size))
        };
        let count = count.ok_or("no file can hold its shape")?;
        let contiguous = is_contiguous(view);
        let end = view.offset.checked_add(count);
        if count > 0 && contiguous && end.is_none_or(|end| end > view.storage.count) {
            return Err("it passes the end of its storage".to_owned());
        }
        let shape = view.shape.iter().map(|&size| usize::try_from(size).map_err(|error| error.to_string()));
        let (offset, length) = if count > 0 && contiguous { (view.offset * size, count * size) } else { (0, 0) };
        Ok(Stored {
            name: name.to_owned(),
            dtype: dtype(view.storage.element)
                .and_then(|dtype| if contiguous { Ok(dtype) } else { Err(strided(view)) }),
            shape: shape.collect::<std::result::Result<_, _>>()?,
            offset: place.start as u64 + offset,
            length,
        })
    }
}

fn dtype((kind, _): ElementType) -> std::result::Result<Dtype, String> {
    let known = [Dtype::F32, Dtype::F64, Dtype::F16, Dtype::Bf16].into_iter().find(|dtype| dtype.to_string() == kind);
    known.ok_or_else(|| no_weight(kind))
}

/// Whether the elements lie row by row; a dimension of size 1 may have any stride, and of no elements all.
fn is_contiguous(view: &View<'_>) -> bool {
    let mut expected = 1u64;
    view.shape.contains(&0)
        || view.shape.iter().zip(&view.strides).rev().all(|(&size, &stride)| {
            let fits = size == 1 || stride == expected;
            expected = expected.saturating_mul(size);
            fits
        })
}

fn strided(view: &View<'_>) -> String {
    let (shape, strides) = (&view.shape, &view.strides);
    format!(
        "of shape {shape:?} has strides {strides:?}, so its rows do not follow each other. Save it again after .contiguous()"
    )
}

/// Refuses a directory that claims too many files, before `zip` takes memory for them. Only a zip64 record can; its place
/// stands in a locator, which stands before the end record, which stands in the last 64 KiB.
fn check_count(bytes: &[u8]) -> std::result::Result<(), String> {
    const LOCATOR: &[u8] = b"PK\x06\x07";
    let number = |place: usize| Some(u64::from_le_bytes(*bytes.get(place..)?.first_chunk()?));
    let start = bytes.len().saturating_sub((64 << 10) + 64);
    for locator in bytes[start..].windows(LOCATOR.len()).enumerate().filter(|(_, window)| *window == LOCATOR) {
        let record = number(start + locator.0 + 8).and_then(|place| usize::try_from(place).ok());
        let count = record.and_then(|record| number(record.checked_add(32)?));
        if let Some(count) = count.filter(|&count| count > MAX_FILES) {
            return Err(format!("its archive claims {count} files; {MAX_FILES} are read"));
        }
    }
    Ok(())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a panic fails the test")]
pub(crate) mod tests {
    use std::io::Write;

    use zip::write::{SimpleFileOptions, ZipWriter};

    use super::pickle::tests::{Sample, state_dict};
    use super::*;

    fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        let options =
            SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored).with_alignment(64);
        for (name, bytes) in files {
            writer.start_file(*name, options).unwrap();
            writer.write_all(bytes).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    /// A file as `torch.save` writes it, of float32 tensors that count their elements.
    pub(crate) fn saved(tensors: &[(&str, &[u64])]) -> Vec<u8> {
        let samples: Vec<_> = tensors.iter().map(|&(name, shape)| Sample::new(name, shape)).collect();
        let count = samples.iter().map(|sample| sample.count).max().unwrap_or_default();
        let storage: Vec<u8> =
            (0..count).flat_map(|number| f32::from(u16::try_from(number).unwrap()).to_le_bytes()).collect();
        archive(&[("x/data.pkl", &state_dict(&samples)), ("x/byteorder", b"little"), ("x/data/0", &storage)])
    }

    fn refusal(bytes: &[u8]) -> String {
        match tensors("m.bin", bytes) {
            Err(Error::ModelFormat(message)) => message,
            other => panic!("{other:?}"),
        }
    }

    /// What becomes of one tensor in a storage of six floats.
    fn one(change: impl Fn(&mut Sample<'_>)) -> Result<Stored> {
        let mut sample = Sample::new("a", &[2, 3]);
        change(&mut sample);
        let bytes = archive(&[("x/data.pkl", &state_dict(&[sample])), ("x/data/0", &[0; 24])]);
        Ok(tensors("m.bin", &bytes)?.remove(0))
    }

    #[test]
    fn tensors_lie_where_the_pickle_and_the_directory_say() {
        let bytes = saved(&[("a", &[2, 3]), ("tied", &[6])]);
        let stored = tensors("m.bin", &bytes).unwrap();
        assert_eq!(stored[0].offset, stored[1].offset, "they share a storage");
        let place = usize::try_from(stored[0].offset).unwrap();
        assert_eq!((place % 64, bytes[place + 20..][..4].to_vec()), (0, 5f32.to_le_bytes().to_vec()));
        let part = one(|sample| (sample.offset, sample.shape, sample.strides) = (2, vec![1, 4], vec![99, 1])).unwrap();
        assert_eq!((part.dtype, part.length), (Ok(Dtype::F32), 16), "the stride of a single row means nothing");
        let half = one(|sample| sample.storage = "HalfStorage").unwrap();
        assert_eq!((half.dtype, half.length), (Ok(Dtype::F16), 12));
        let empty = one(|sample| (sample.shape, sample.offset) = (vec![0, 3], 1 << 40)).unwrap();
        assert_eq!((empty.dtype, empty.length), (Ok(Dtype::F32), 0));
        let ids = one(|sample| (sample.storage, sample.count, sample.shape[0]) = ("LongStorage", 3, 1)).unwrap();
        assert!(ids.dtype.unwrap_err().contains("int64"));
        let turned = one(|sample| (sample.strides[0], sample.strides[1]) = (1, 2)).unwrap();
        assert!(turned.dtype.unwrap_err().contains("contiguous"));
    }

    #[test]
    fn a_tensor_outside_its_storage_is_an_error() {
        let cases: [fn(&mut Sample<'_>); 6] = [
            |sample| sample.offset = 1,
            |sample| sample.offset = i64::MAX as u64,
            |sample| sample.count = 7,
            |sample| sample.count = i64::MAX as u64,
            |sample| sample.shape[0] = 3,
            |sample| (sample.shape, sample.strides) = (vec![1 << 62, 4], vec![4, 1]),
        ];
        for (place, change) in cases.into_iter().enumerate() {
            assert!(matches!(one(change), Err(Error::ModelFormat(_))), "case {place}");
        }
    }

    #[test]
    fn archives_that_torch_did_not_write_are_refused() {
        let pickle = state_dict(&[Sample::new("a", &[1])]);
        let whole = archive(&[("x/data.pkl", &pickle), ("x/data/0", &[0; 4])]);
        for length in 0..whole.len() {
            assert!(tensors("m.bin", &whole[..length]).is_err(), "cut at {length}");
        }
        for place in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[place] ^= 0xff;
            if let Ok(stored) = tensors("m.bin", &bytes) {
                assert!(
                    stored.iter().all(|tensor| tensor.offset + tensor.length <= bytes.len() as u64),
                    "byte {place}"
                );
            }
        }
        assert!(refusal(&archive(&[("x/data.pkl", &pickle)])).contains("tensor a: there is no data/0"));
        assert!(refusal(&archive(&[("x/weights", b"")])).contains("0 data.pkl"));
        assert!(refusal(&archive(&[("x/data.pkl", &pickle), ("y/data.pkl", &pickle)])).contains("2 data.pkl"));
        assert!(refusal(&archive(&[("x/data.pkl", &pickle), ("x/byteorder", b"big")])).contains("little-endian"));
        let mut compressed = whole;
        let methods: Vec<_> =
            (0..compressed.len()).filter(|&place| compressed[place..].starts_with(b"PK\x01\x02")).collect();
        for place in methods {
            compressed[place + 10] = 8;
        }
        assert!(refusal(&compressed).contains("Save it again with torch.save"));
    }

    #[test]
    fn a_directory_that_claims_billions_of_files_takes_no_memory() {
        let mut bytes = b"PK\x06\x06\x2c\0\0\0\0\0\0\0".to_vec();
        bytes.extend([0; 12]);
        bytes.extend([1u64 << 40; 4].iter().flat_map(|number| number.to_le_bytes()));
        bytes.extend(b"PK\x06\x07\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0PK\x05\x06\0\0\0\0");
        bytes.extend([0xff; 12]);
        bytes.extend([0; 2]);
        assert!(refusal(&bytes).contains("claims 1099511627776 files"));
    }
}
