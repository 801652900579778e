//! One text at a time on CUDA: runs of a fixed number of tokens, captured once as a CUDA graph and replayed with other ids. To
//! launch every kernel for itself takes three times as long as the kernels.

use std::collections::HashMap;
use std::ffi::CString;
use std::sync::{Mutex, PoisonError};

use ::ort::AsPointer;
use ::ort::memory::{Allocator, MemoryInfo};
use ::ort::session::{IoBinding, RunOptions, Session as OrtSession};
use ::ort::sys::ONNXTensorElementDataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32;
use ::ort::value::{DynValue, Tensor};

use super::driver::Memory;
use super::session::{check, failed};
use super::signature::Input;
use crate::batch::Inputs;
use crate::{Error, Result};

/// Tokens of a run. Shorter texts are filled up: what lies behind a text is not looked at.
const TOKENS: [usize; 6] = [16, 32, 64, 128, 256, 512];
/// Tensors begin at multiples of so many numbers.
const ALIGNED: usize = 64;

/// A graph that takes one text and puts out one row of float32 numbers for it.
pub(super) struct Signature<'a> {
    pub inputs: &'a [(CString, Input)],
    /// Each output with its width.
    pub outputs: &'a [(CString, usize)],
}

/// The runs of one session that were captured so far.
pub(super) struct Captured {
    memory: Memory,
    runs: Mutex<HashMap<usize, Run>>,
}

/// One of them, with the device's memory that it reads and writes, always the same.
struct Run {
    binding: IoBinding,
    options: RunOptions,
    /// All inputs, each at its place.
    block: Tensor<i32>,
    places: Vec<(Input, usize)>,
    outputs: Vec<Tensor<f32>>,
    _views: Vec<DynValue>,
}

impl Captured {
    pub(super) fn new(memory: Memory) -> Self {
        Self { memory, runs: Mutex::default() }
    }

    /// Tokens of the run that takes these inputs: one text that is not too long.
    pub(super) fn tokens_for(inputs: &Inputs) -> Option<usize> {
        TOKENS.into_iter().find(|&tokens| inputs.rows == 1 && inputs.input_ids.len() <= tokens)
    }

    /// Runs one text; the row of each output.
    pub(super) fn run(
        &self,
        session: &OrtSession,
        signature: &Signature,
        inputs: &Inputs,
        tokens: usize,
    ) -> Result<Vec<Vec<f32>>> {
        self.memory.enter()?;
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        let run = match runs.remove(&tokens) {
            Some(run) => run,
            None => Run::new(session, self.memory, signature, tokens)?,
        };
        let rows = run.replay(self.memory, session, inputs, tokens)?;
        // After an error it stays away, since it may be half captured.
        runs.insert(tokens, run);
        Ok(rows)
    }
}

impl Run {
    #[expect(unsafe_code, reason = "binds tensors that live as long as the binding")]
    fn new(session: &OrtSession, memory: Memory, signature: &Signature, tokens: usize) -> Result<Self> {
        let info = memory.info().map_err(failed)?;
        let device = Allocator::new(session, memory.info().map_err(failed)?).map_err(failed)?;
        let mut end = 0;
        let place = |(_, input): &(CString, Input)| {
            let start = end;
            end += input.shape(tokens).iter().product::<usize>().next_multiple_of(ALIGNED);
            (*input, start)
        };
        let places: Vec<_> = signature.inputs.iter().map(place).collect();
        let block = Tensor::<i32>::new(&device, [end]).map_err(failed)?;
        let mut options = RunOptions::new().map_err(failed)?;
        options.set("gpu_graph_id", tokens.to_string()).map_err(failed)?;
        let binding = session.create_binding().map_err(failed)?;
        let bound = binding.ptr().cast_mut();
        let mut views = Vec::new();
        for ((name, input), (_, start)) in signature.inputs.iter().zip(&places) {
            let view = view(&info, &block, *start, &input.shape(tokens))?;
            unsafe { check((::ort::api().BindInput)(bound, name.as_ptr(), view.ptr()))? };
            views.push(view);
        }
        let mut outputs = Vec::new();
        for (name, width) in signature.outputs {
            let output = Tensor::<f32>::new(&device, [1, *width]).map_err(failed)?;
            unsafe { check((::ort::api().BindOutput)(bound, name.as_ptr(), output.ptr()))? };
            outputs.push(output);
        }
        Ok(Self { binding, options, block, places, outputs, _views: views })
    }

    /// The first time ONNX Runtime captures what it launches.
    #[expect(unsafe_code, reason = "the addresses are those of this run's own tensors")]
    fn replay(&self, memory: Memory, session: &OrtSession, inputs: &Inputs, tokens: usize) -> Result<Vec<Vec<f32>>> {
        let numbers = self.numbers(inputs, tokens);
        unsafe {
            memory.to_device(self.block.data_ptr() as u64, &numbers)?;
            let (session, options) = (session.ptr().cast_mut(), self.options.ptr());
            check((::ort::api().RunWithBinding)(session, options, self.binding.ptr()))?;
        }
        let row = |output: &Tensor<f32>| {
            let mut numbers = vec![0.0; output.shape().num_elements()];
            unsafe { memory.to_host(&mut numbers, output.data_ptr() as u64)? };
            Ok(numbers)
        };
        self.outputs.iter().map(row).collect()
    }

    /// What the inputs of a text are, at their places.
    fn numbers(&self, inputs: &Inputs, tokens: usize) -> Vec<i32> {
        let mut numbers = vec![0; self.block.shape().num_elements()];
        for &(input, start) in &self.places {
            let whole = |values: &[i64]| values.iter().map(|&value| i32::try_from(value).unwrap_or(i32::MAX)).collect();
            let values: Vec<i32> = match input {
                Input::Offsets => (0..i32::try_from(tokens).unwrap_or(i32::MAX)).collect(),
                Input::First => vec![0],
                other => whole(other.values(inputs)),
            };
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

    fn inputs(ids: &[u32]) -> Inputs {
        let text = Tokens { ids: ids.to_vec(), total: ids.len(), first: ids.len() };
        Inputs::new(&Batch { rows: vec![0], length: ids.len(), layout: Layout::Packed }, &[text], RULES)
    }

    /// A graph with every input of a captured one: the id of the first token, and the sum of all that comes in.
    fn session() -> OrtSession {
        let library = concat!(env!("CARGO_MANIFEST_DIR"), "/python/bge_fast/_ort/libonnxruntime_bge_fast.so");
        let library = Library::load(Path::new(library), &[]).expect("`make setup` puts it there");
        let graph = crate::graph::testing::sums();
        OrtSession::builder(&library.environment)
            .and_then(|mut builder| builder.commit_from_memory(&graph))
            .expect("opens")
    }

    #[test]
    fn each_text_gets_what_belongs_to_it_in_runs_of_few_sizes() {
        let session = session();
        let named = signature::inputs(session.inputs()).expect("are known");
        assert!(named.packed);
        let outputs = [(c"dense_vecs".to_owned(), 1), (c"logits".to_owned(), 1)];
        let signature = Signature { inputs: &named.named, outputs: &outputs };
        let captured = Captured::new(Memory::Host);
        for ids in [vec![7], vec![9, 4, 4], (1..=17).collect(), vec![5; 16], vec![8]] {
            let inputs = inputs(&ids);
            let tokens = Captured::tokens_for(&inputs).expect("is short");
            let rows = captured.run(&session, &signature, &inputs, tokens).expect("runs");
            let count = u16::try_from(ids.len()).expect("few");
            let positions: u16 = (0..count).sum();
            let offsets: u16 = (0..u16::try_from(tokens).expect("few")).sum();
            let ids: Vec<u16> = ids.iter().map(|&id| u16::try_from(id).expect("small")).collect();
            let sum = ids.iter().sum::<u16>() + positions + count + offsets;
            assert_eq!(rows, [[f32::from(ids[0])], [f32::from(sum)]]);
        }
        let sizes = captured.runs.lock().expect("no panic");
        assert_eq!((sizes.len(), sizes.contains_key(&16), sizes.contains_key(&32)), (2, true, true));
    }

    #[test]
    fn long_texts_and_several_are_not_captured() {
        assert_eq!(Captured::tokens_for(&inputs(&[1; 512])), Some(512));
        assert_eq!(Captured::tokens_for(&inputs(&[1; 513])), None);
        let text = Tokens { ids: vec![1], total: 1, first: 1 };
        let batch = Batch { rows: vec![0, 1], length: 1, layout: Layout::Packed };
        assert_eq!(Captured::tokens_for(&Inputs::new(&batch, &[text.clone(), text], RULES)), None);
    }
}
