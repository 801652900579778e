//! Runs of few texts on a CUDA device, each size captured once as a CUDA graph and replayed with other ids. To launch every kernel
//! for itself takes three times as long as the kernels.

use std::collections::HashMap;
use std::ffi::CString;
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard};

use ::ort::AsPointer;
use ::ort::memory::{Allocator, MemoryInfo};
use ::ort::session::{IoBinding, RunOptions, Session as OrtSession};
use ::ort::sys::ONNXTensorElementDataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32;
use ::ort::value::{DynValue, Tensor};

use super::driver::Memory;
use super::session::{check, failed};
use super::signature::{Input, Output};
use crate::batch::{FEW_SIZES, FEW_TEXTS, Inputs};
use crate::{Error, Result};

/// Texts of a run. Those that are missing are empty.
const TEXTS: [usize; 2] = [1, FEW_TEXTS];
/// Tensors begin at multiples of so many numbers.
const ALIGNED: usize = 64;

/// Held for writing while a run is captured: ONNX Runtime does that in the mode in which it is an error if anybody else, of whatever
/// session, takes memory of a device or waits for it.
static CAPTURING: RwLock<()> = RwLock::new(());

/// Waits until nothing is being captured; nothing is until this is dropped.
pub(super) fn while_nothing_is_captured() -> RwLockReadGuard<'static, ()> {
    CAPTURING.read().unwrap_or_else(PoisonError::into_inner)
}

/// What a graph takes and puts out: float32 numbers.
pub(super) struct Signature<'a> {
    pub inputs: &'a [(CString, Input)],
    pub outputs: &'a [Output],
}

/// An output of some texts: its dimensions and its numbers.
type Row = (Vec<i64>, Vec<f32>);

/// How much a run takes. Texts are filled up: what lies behind them is not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Size {
    texts: usize,
    tokens: usize,
}

/// The runs of one session that were captured so far.
pub(super) struct Captured {
    memory: Memory,
    runs: Mutex<HashMap<Size, Run>>,
}

/// One of them, with the device's memory that it reads and writes, always the same.
struct Run {
    size: Size,
    binding: IoBinding,
    options: RunOptions,
    /// All inputs, each at its place.
    block: Tensor<i32>,
    places: Vec<(Input, usize)>,
    /// Each with the width of a row, and whether there is one for each token.
    outputs: Vec<(Tensor<f32>, usize, bool)>,
    _views: Vec<DynValue>,
}

impl Size {
    /// The least that takes these texts.
    fn of(inputs: &Inputs) -> Result<Self> {
        let texts = TEXTS.into_iter().find(|&texts| inputs.rows <= texts);
        let tokens = FEW_SIZES.into_iter().find(|&tokens| inputs.input_ids.len() <= tokens);
        let size = texts.zip(tokens).map(|(texts, tokens)| Self { texts, tokens });
        size.ok_or_else(|| Error::Internal("more than few texts for a captured run".into()))
    }

    /// A number of its own among sizes.
    fn number(self) -> usize {
        self.tokens * (FEW_TEXTS + 1) + self.texts
    }
}

impl Captured {
    pub(super) fn new(memory: Memory) -> Self {
        Self { memory, runs: Mutex::default() }
    }

    /// Runs few texts.
    pub(super) fn run(&self, session: &OrtSession, signature: &Signature, inputs: &Inputs) -> Result<Vec<Row>> {
        self.memory.enter()?;
        let size = Size::of(inputs)?;
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        let (run, rows) = if let Some(run) = runs.remove(&size) {
            let _shared = while_nothing_is_captured();
            let rows = run.replay(self.memory, session, inputs)?;
            (run, rows)
        } else {
            let _alone = CAPTURING.write().unwrap_or_else(PoisonError::into_inner);
            let run = Run::new(session, self.memory, signature, size)?;
            let rows = run.replay(self.memory, session, inputs)?;
            (run, rows)
        };
        // After an error it stays away, since it may be half captured.
        runs.insert(size, run);
        Ok(rows)
    }
}

impl Run {
    #[expect(unsafe_code, reason = "binds tensors that live as long as the binding")]
    fn new(session: &OrtSession, memory: Memory, signature: &Signature, size: Size) -> Result<Self> {
        let info = memory.info().map_err(failed)?;
        let device = Allocator::new(session, memory.info().map_err(failed)?).map_err(failed)?;
        let Size { texts, tokens } = size;
        let mut end = 0;
        let place = |(_, input): &(CString, Input)| {
            let start = end;
            end += input.shape(texts, tokens).iter().product::<usize>().next_multiple_of(ALIGNED);
            (*input, start)
        };
        let places: Vec<_> = signature.inputs.iter().map(place).collect();
        let block = Tensor::<i32>::new(&device, [end]).map_err(failed)?;
        let mut options = RunOptions::new().map_err(failed)?;
        options.set("gpu_graph_id", size.number().to_string()).map_err(failed)?;
        let binding = session.create_binding().map_err(failed)?;
        let bound = binding.ptr().cast_mut();
        let mut views = Vec::new();
        for ((name, input), (_, start)) in signature.inputs.iter().zip(&places) {
            let view = view(&info, &block, *start, &input.shape(texts, tokens))?;
            unsafe { check((::ort::api().BindInput)(bound, name.as_ptr(), view.ptr()))? };
            views.push(view);
        }
        let mut outputs = Vec::new();
        for &Output { ref name, width, of_tokens } in signature.outputs {
            let shape = if of_tokens { vec![1, tokens, width] } else { vec![texts, width] };
            let output = Tensor::<f32>::new(&device, shape).map_err(failed)?;
            unsafe { check((::ort::api().BindOutput)(bound, name.as_ptr(), output.ptr()))? };
            outputs.push((output, width, of_tokens));
        }
        Ok(Self { size, binding, options, block, places, outputs, _views: views })
    }

    /// The first time ONNX Runtime captures what it launches.
    #[expect(unsafe_code, reason = "the addresses are those of this run's own tensors")]
    fn replay(&self, memory: Memory, session: &OrtSession, inputs: &Inputs) -> Result<Vec<Row>> {
        let numbers = self.numbers(inputs);
        unsafe {
            memory.to_device(self.block.data_ptr() as u64, &numbers)?;
            let (session, options) = (session.ptr().cast_mut(), self.options.ptr());
            check((::ort::api().RunWithBinding)(session, options, self.binding.ptr()))?;
        }
        let row = |(output, width, of_tokens): &(Tensor<f32>, usize, bool)| {
            let shape = if *of_tokens { vec![1, inputs.input_ids.len(), *width] } else { vec![inputs.rows, *width] };
            let mut numbers = vec![0.0; shape.iter().product()];
            unsafe { memory.to_host(&mut numbers, output.data_ptr() as u64)? };
            Ok((shape.into_iter().map(|size| i64::try_from(size).unwrap_or(i64::MAX)).collect(), numbers))
        };
        self.outputs.iter().map(row).collect()
    }

    /// What the inputs are, at their places.
    fn numbers(&self, inputs: &Inputs) -> Vec<i32> {
        let mut numbers = vec![0; self.block.shape().num_elements()];
        for &(input, start) in &self.places {
            let values = input.few(inputs, self.size.texts, self.size.tokens);
            numbers[start..start + values.len()].copy_from_slice(&values);
        }
        numbers
    }
}

/// A tensor over a part of the block.
#[expect(unsafe_code, reason = "the block outlives its views, and the part lies in it")]
fn view(memory: &MemoryInfo, block: &Tensor<i32>, start: usize, shape: &[usize]) -> Result<DynValue> {
    let dims: Vec<i64> = shape.iter().map(|&size| i64::try_from(size).unwrap_or(i64::MAX)).collect();
    let bytes = shape.iter().product::<usize>() * size_of::<i32>();
    let mut value = std::ptr::null_mut();
    unsafe {
        check((::ort::api().CreateTensorWithDataAsOrtValue)(
            memory.ptr(),
            block.data_ptr().cast::<i32>().add(start).cast_mut().cast(),
            bytes,
            dims.as_ptr(),
            dims.len(),
            ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32,
            &raw mut value,
        ))?;
        let value = std::ptr::NonNull::new(value).ok_or_else(|| Error::Internal("no tensor was made".into()))?;
        Ok(DynValue::from_ptr(value, Some(&Allocator::default())))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::signature;
    use super::*;
    use crate::batch::{Batch, InputRules, Layout, Positions};
    use crate::ort::Library;
    use crate::tokenizer::Tokens;

    const RULES: InputRules = InputRules { pad_id: 0, positions: Positions::FromZero, typed_pairs: true };

    fn inputs(texts: &[&[u32]]) -> Inputs {
        let tokens = |ids: &&[u32]| Tokens { ids: ids.to_vec(), total: ids.len(), first: ids.len() };
        let texts: Vec<Tokens> = texts.iter().map(tokens).collect();
        let batch = Batch { rows: (0..texts.len()).collect(), length: 1, layout: Layout::Few };
        Inputs::new(&batch, &texts, RULES)
    }

    /// A graph with every input of a captured one: the id of the first token of each text, the sum of all that comes in, and the ids.
    fn session() -> OrtSession {
        let library = concat!(env!("CARGO_MANIFEST_DIR"), "/python/bge_fast/_ort/libonnxruntime_bge_fast.so");
        let library = Library::load(Path::new(library), &[]).expect("`make setup` puts it there");
        let graph = crate::graph::testing::sums();
        OrtSession::builder(&library.environment)
            .and_then(|mut builder| builder.commit_from_memory(&graph))
            .expect("opens")
    }

    /// Small whole numbers.
    fn floats(values: impl IntoIterator<Item = usize>) -> Vec<f32> {
        values.into_iter().map(|value| f32::from(u16::try_from(value).expect("small"))).collect()
    }

    #[test]
    fn each_text_gets_what_belongs_to_it_in_runs_of_few_sizes() {
        let session = session();
        let named = signature::inputs(session.inputs()).expect("are known");
        assert_eq!(named.laid_out, signature::LaidOut::Packed);
        let outputs = [c"dense_vecs", c"logits", c"sparse_vecs"];
        let outputs = outputs.map(|name| signature::output(session.outputs(), name).expect("is declared"));
        let signature = Signature { inputs: &named.named, outputs: &outputs };
        let captured = Captured::new(Memory::Host);
        let long: Vec<u32> = (1..=17).collect();
        for texts in [&[&[7_u32][..]][..], &[&[9, 4, 4], &[6]], &[&long], &[&[5; 16]], &[&[2_u32; 3][..]; 8], &[&[8]]] {
            let inputs = inputs(texts);
            let size = Size::of(&inputs).expect("are few");
            let found = captured.run(&session, &signature, &inputs).expect("runs");
            let ids: Vec<usize> = texts.concat().iter().map(|&id| id as usize).collect();
            let count = texts.len();
            let starts: Vec<usize> = (0..=count).map(|text| texts[..text].concat().len()).collect();
            let positions: usize = texts.iter().map(|text| (0..text.len()).sum::<usize>()).sum();
            let ends = (size.texts - count) * ids.len();
            let offsets: usize = (0..size.texts * size.tokens).sum();
            let sum = ids.iter().sum::<usize>()
                + positions
                + ends
                + offsets
                + starts.iter().sum::<usize>()
                + starts[..count].iter().sum::<usize>();
            let shape = |sizes: &[usize]| sizes.iter().map(|&size| i64::try_from(size).expect("small")).collect();
            let firsts = floats(texts.iter().map(|text| text[0] as usize));
            let expected: [Row; 3] = [
                (shape(&[count, 1]), firsts),
                (shape(&[count, 1]), floats(vec![sum; count])),
                (shape(&[1, ids.len(), 1]), floats(ids)),
            ];
            assert_eq!(found, expected);
        }
        let runs = captured.runs.lock().expect("no panic");
        let mut sizes: Vec<_> = runs.keys().map(|size| (size.texts, size.tokens)).collect();
        sizes.sort_unstable();
        assert_eq!(sizes, [(1, 16), (1, 32), (8, 16), (8, 32)]);
    }

    #[test]
    fn more_than_few_are_refused_and_sizes_have_numbers_of_their_own() {
        assert_eq!(Size::of(&inputs(&[&[1; 512]])).expect("is short"), Size { texts: 1, tokens: 512 });
        assert!(Size::of(&inputs(&[&[1; 513]])).is_err());
        assert!(Size::of(&inputs(&[&[1_u32][..]; 9])).is_err());
        let numbers: std::collections::HashSet<usize> =
            TEXTS.iter().flat_map(|&texts| FEW_SIZES.map(|tokens| Size { texts, tokens }.number())).collect();
        assert_eq!(numbers.len(), TEXTS.len() * FEW_SIZES.len());
    }
}
