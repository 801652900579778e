use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use super::torch::saved;
use super::*;

/// A folder that goes when the test ends.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("bge-weights-{test}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn file(&self, name: &str, bytes: &[u8]) -> WeightFile {
        let path = self.0.join(name);
        fs::write(&path, bytes).unwrap();
        WeightFile { name: name.into(), path, prefix: "" }
    }
}

fn open(path: &Path) -> Result<Weights> {
    Weights::open(&[WeightFile { name: "it".into(), path: path.into(), prefix: "" }])
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn safe(tensors: &[(&str, ::safetensors::Dtype, &[usize])]) -> Vec<u8> {
    let data: Vec<u8> = (0..255).collect();
    let views = tensors.iter().map(|&(name, dtype, shape)| {
        let length = shape.iter().product::<usize>() * dtype.bitsize() / 8;
        (name, ::safetensors::tensor::TensorView::new(dtype, shape.to_vec(), &data[..length]).unwrap())
    });
    ::safetensors::serialize(views, None).unwrap()
}

fn message(result: Result<impl Sized>) -> String {
    match result {
        Err(Error::ModelFormat(message)) => message,
        Err(other) => panic!("another error: {other:?}"),
        Ok(_) => panic!("accepted"),
    }
}

#[test]
fn shards_of_both_formats_make_one_checkpoint() {
    let folder = Folder::new("shards");
    let (words, dense) = ("bert.embeddings.word_embeddings.weight", "bert.encoder.layer.0.dense.weight");
    let one = folder.file(
        "a.bin",
        &safe(&[(words, ::safetensors::Dtype::BF16, &[3, 2]), ("ids", ::safetensors::Dtype::I64, &[1])]),
    );
    let two = folder.file("b.safetensors", &saved(&[(dense, &[2, 2])]));
    let weights = Weights::open(&[one.clone(), two.clone()]).unwrap();
    assert_eq!(weights.files().collect::<Vec<_>>(), [&one.path, &two.path]);
    let tensor = weights.find(words, &[3, 2]).unwrap();
    assert_eq!(
        (tensor.file, tensor.dtype, weights.bytes(tensor)),
        (0, Dtype::Bf16, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11][..])
    );
    let tensor = weights.find(dense, &[2, 2]).unwrap();
    assert_eq!((tensor.file, tensor.dtype, tensor.offset % 64), (1, Dtype::F32, 0));
    let floats: Vec<_> = weights.bytes(tensor).as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    assert_eq!(floats, [0.0, 1.0, 2.0, 3.0]);
    let elsewhere = Tensor { file: 7, offset: u64::MAX, ..tensor.clone() };
    assert!(weights.bytes(&elsewhere).is_empty());
    assert!(weights.contains("ids") && weights.shape("ids") == Some(&[1]));
    assert!(message(weights.find("ids", &[1])).contains("a.bin: the tensor ids is of type I64"));
    assert!(message(weights.find(dense, &[4])).contains("has the shape [2, 2] where [4] is expected"));
    assert!(
        message(weights.find("cls", &[])).starts_with("a.bin, b.safetensors are without the tensor cls; there are 3")
    );
    assert!(
        weights.lacking("without it").starts_with("a.bin, b.safetensors are without it; there are 3 tensors: bert.")
    );
    assert!(message(Weights::open(&[two.clone(), two])).contains("in b.safetensors and in b.safetensors"));
}

#[test]
fn files_that_hold_no_weights_are_named_with_the_way_out() {
    let folder = Folder::new("others");
    let cases: [(&[u8], &str); 5] = [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "git lfs pull"),
        (b"\n<!DOCTYPE html>", "web page"),
        (b"\x10\0\0\0\0\0\0\0{", "cut off"),
        (b"GGUF", "neither"),
    ];
    for (bytes, expected) in cases {
        let message = message(Weights::open(&[folder.file("model.bin", bytes)]));
        assert!(message.starts_with("model.bin ") && message.contains(expected), "{expected}: {message}");
    }
}

#[test]
fn only_regular_files_are_opened() {
    let folder = Folder::new("kinds");
    let socket = folder.0.join("socket");
    let _listener = UnixListener::bind(&socket).unwrap();
    let fifo = folder.0.join("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let link = folder.0.join("link");
    std::os::unix::fs::symlink(folder.0.join("nothing"), &link).unwrap();
    let device = PathBuf::from("/dev/zero");
    for (path, kind) in [(&folder.0, "a directory"), (&socket, "a socket"), (&fifo, "a FIFO"), (&device, "a device")] {
        assert!(message(open(path)).contains(kind));
    }
    let odd = folder.0.join(OsString::from_vec(vec![0xff, b'\n']));
    for (path, kind) in [(link, "a link to nothing"), (folder.0.join("x"), "no file"), (odd, "no file")] {
        let Err(Error::ModelNotFound(message)) = open(&path) else { panic!("{kind}") };
        assert!(message.contains(kind), "{message}");
    }
}

#[test]
fn tensors_of_another_file_take_the_place_of_those_of_their_names() {
    let folder = Folder::new("replaced");
    let f32 = ::safetensors::Dtype::F32;
    let base = folder.file("base", &safe(&[("a", f32, &[2, 2]), ("b", f32, &[3])]));
    let changed = folder.file("changed", &safe(&[("a", f32, &[2, 2]), ("c", f32, &[1])]));
    let mut weights = Weights::open(&[base]).unwrap();
    weights.replace(&changed).unwrap();
    assert_eq!(weights.names().collect::<Vec<_>>(), ["a", "b", "c"]);
    let file = |name, shape: &[usize]| weights.find(name, shape).unwrap().file;
    assert_eq!([file("a", &[2, 2]), file("b", &[3]), file("c", &[1])], [1, 0, 1]);
    let other = folder.file("other", &safe(&[("b", f32, &[4])]));
    assert!(message(weights.replace(&other)).contains("changes the shape of b to [4]"));
}
