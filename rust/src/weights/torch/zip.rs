//! torch's zip format, which `torch.save` writes since 1.6: a pickle that says what is where, and one uncompressed file for
//! each storage, so that tensors can be used where they lie.

use std::io::Cursor;
use std::ops::Range;

use ::zip::read::{ArchiveOffset, Config, ZipArchive};

use super::MAX_PICKLE;
use super::view::located;
use crate::weights::pickle::{self, View};
use crate::weights::stored::{MAX_TENSORS, Stored, shown};

/// Files in the archive: a storage each, and a few of torch's own.
const MAX_FILES: u64 = MAX_TENSORS as u64 + 1000;
/// Whether a file of these bytes means to be torch's zip.
pub(in crate::weights) fn is_zip(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PK\x03\x04")
}

/// The tensors of a file. Errors say what is wrong with it.
pub(super) fn tensors(bytes: &[u8]) -> Result<Vec<Stored>, String> {
    let mut archive = Archive::open(bytes)?;
    let place = archive.find("data.pkl")?.ok_or("it has no data.pkl")?;
    if place.len() > MAX_PICKLE {
        return Err(format!("its pickle of {} bytes is longer than {MAX_PICKLE}", place.len()));
    }
    // A copy, which nobody changes while it is read.
    let pickle = bytes[place].to_vec();
    let (views, _) = pickle::tensors(&pickle)?;
    let locate = |(tensor, view): (&str, View<'_>)| {
        archive.locate(tensor, &view).map_err(|why| format!("its tensor {}: {why}", shown(tensor)))
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
    fn open(bytes: &'a [u8]) -> Result<Self, String> {
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
    fn find(&mut self, name: &str) -> Result<Option<Range<usize>>, String> {
        let Some(index) = self.zip.index_for_name_raw(format!("{}/{name}", self.root).as_bytes()) else {
            return Ok(None);
        };
        let name = shown(name);
        let file =
            self.zip.by_index_raw(index).map_err(|error| format!("{name} in its archive is damaged ({error})"))?;
        if file.compression() != ::zip::CompressionMethod::Stored || file.encrypted() {
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
    fn locate(&mut self, name: &str, view: &View<'_>) -> Result<Stored, String> {
        let file = format!("data/{}", view.storage.key);
        let place = self.find(&file)?.ok_or_else(|| format!("there is no {} in its archive", shown(&file)))?;
        located(name, view, place.start as u64, place.len() as u64)
    }
}

/// Refuses a directory that claims too many files, before `zip` takes memory for them. Only a zip64 record can; its place
/// stands in a locator, which stands before the end record, which stands in the last 64 KiB.
fn check_count(bytes: &[u8]) -> Result<(), String> {
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
pub(in crate::weights) mod tests {
    use std::io::Write;

    use ::zip::write::{SimpleFileOptions, ZipWriter};

    use super::*;
    use crate::weights::pickle::tests::{Sample, state_dict};
    use crate::weights::stored::Dtype;

    fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        let options =
            SimpleFileOptions::default().compression_method(::zip::CompressionMethod::Stored).with_alignment(64);
        for (name, bytes) in files {
            writer.start_file(*name, options).unwrap();
            writer.write_all(bytes).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    /// A file as `torch.save` writes it, of float32 tensors that count their elements.
    pub(in crate::weights) fn saved(tensors: &[(&str, &[u64])]) -> Vec<u8> {
        let samples: Vec<_> = tensors.iter().map(|&(name, shape)| Sample::new(name, shape)).collect();
        let count = samples.iter().map(|sample| sample.count).max().unwrap_or_default();
        let storage: Vec<u8> =
            (0..count).flat_map(|number| f32::from(u16::try_from(number).unwrap()).to_le_bytes()).collect();
        archive(&[("x/data.pkl", &state_dict(&samples)), ("x/byteorder", b"little"), ("x/data/0", &storage)])
    }

    fn refusal(bytes: &[u8]) -> String {
        match tensors(bytes) {
            Err(message) => message,
            other => panic!("{other:?}"),
        }
    }

    /// What becomes of one tensor in a storage of six floats.
    fn one(change: impl Fn(&mut Sample<'_>)) -> Result<Stored, String> {
        let mut sample = Sample::new("a", &[2, 3]);
        change(&mut sample);
        let bytes = archive(&[("x/data.pkl", &state_dict(&[sample])), ("x/data/0", &[0; 24])]);
        Ok(tensors(&bytes)?.remove(0))
    }

    #[test]
    fn tensors_lie_where_the_pickle_and_the_directory_say() {
        let bytes = saved(&[("a", &[2, 3]), ("tied", &[6])]);
        let stored = tensors(&bytes).unwrap();
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
        assert_eq!((turned.strides, turned.length), (Some(vec![1, 2]), 24));
        let expanded = one(|sample| sample.strides = vec![0, 0]).unwrap();
        assert_eq!((expanded.strides, expanded.length), (Some(vec![0, 0]), 4));
        assert!(
            one(|sample| (sample.strides, sample.shape) = (vec![0, 0], vec![3, 3])).is_err(),
            "more than is stored"
        );
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
            assert!(one(change).is_err(), "case {place}");
        }
    }

    #[test]
    fn archives_that_torch_did_not_write_are_refused() {
        let pickle = state_dict(&[Sample::new("a", &[1])]);
        let whole = archive(&[("x/data.pkl", &pickle), ("x/data/0", &[0; 4])]);
        for length in 0..whole.len() {
            assert!(tensors(&whole[..length]).is_err(), "cut at {length}");
        }
        for place in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[place] ^= 0xff;
            if let Ok(stored) = tensors(&bytes) {
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
