//! Where graphs keep their weights: files outside of them.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use prost::Message;

use super::onnx::ModelProto;

/// The files that the initializers of an ONNX graph lie in, relative to its folder, each once. Weights in the graph itself are
/// passed over, not copied.
///
/// # Errors
/// What is wrong with the file.
pub fn external_files(graph: &[u8]) -> Result<Vec<String>, String> {
    let model = ModelProto::decode(graph).map_err(|error| error.to_string())?;
    let initializers = model.graph.into_iter().flat_map(|graph| graph.initializer);
    let entries = initializers.flat_map(|tensor| tensor.external_data);
    let locations: BTreeSet<String> =
        entries.filter(|entry| entry.key == "location").map(|entry| entry.value).collect();
    Ok(locations.into_iter().collect())
}

/// The deepest folder that holds all files: shards may be links to different places.
pub(super) fn common_folder<'a>(files: impl Iterator<Item = &'a Path>) -> PathBuf {
    let mut folders = files.filter_map(Path::parent);
    let mut common: Vec<Component> = folders.next().map(|folder| folder.components().collect()).unwrap_or_default();
    for folder in folders {
        let same = common.iter().zip(folder.components()).take_while(|(one, other)| *one == other).count();
        common.truncate(same);
    }
    common.iter().collect()
}
