//! Operators of our own, which ONNX Runtime calls like its own: each node tells the layer that it computes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ::ort::Error;
use ::ort::operator::{ComputeContext, Kernel, KernelContext, Operator, OperatorDomain, OperatorInput, OperatorOutput};
use ::ort::value::TensorElementType::{Float32, Int64};

use super::stop::stop;
use crate::graph::{LAYER, OURS};
use crate::kernels::{
    Attention, CausalAttention, Cpu, Distances, Means, Rows, Summands, Threads, add_and_norm, attend, attend_causally,
    rms_norm,
};
use crate::panics::caught;
use crate::prepared::{AttentionLayer, CausalLayer, GatedLayer, Layer, LinearLayer, NormLayer, RmsNormLayer};

/// All operators, over the layers of one graph.
pub(super) fn domain(layers: &Arc<Vec<Layer>>) -> ::ort::Result<OperatorDomain> {
    let operator = |name, inputs: fn() -> Vec<OperatorInput>| Ours { name, inputs, layers: Arc::clone(layers) };
    OperatorDomain::new(OURS)?
        .add(operator("Linear", || vec![OperatorInput::required(Float32)]))?
        .add(operator("AddAndNorm", || vec![OperatorInput::required(Float32), OperatorInput::required(Float32)]))?
        .add(operator("Attention", attention_inputs))?
        .add(operator("RmsNorm", || vec![OperatorInput::required(Float32)]))?
        .add(operator("CausalAttention", attention_inputs))?
        .add(operator("GatedFeedForward", || vec![OperatorInput::required(Float32)]))?
        .add(operator("Means", || {
            let starts = || OperatorInput::required(Int64);
            vec![OperatorInput::required(Float32), starts(), starts(), OperatorInput::required(Int64)]
        }))
}

fn attention_inputs() -> Vec<OperatorInput> {
    vec![OperatorInput::required(Int64), OperatorInput::required(Float32), OperatorInput::optional(Float32)]
}

struct Ours {
    name: &'static str,
    inputs: fn() -> Vec<OperatorInput>,
    layers: Arc<Vec<Layer>>,
}

impl Operator for Ours {
    type Kernel<'attr> = Computed;

    fn name(&self) -> &str {
        self.name
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        (self.inputs)()
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(Float32)]
    }

    fn create_kernel(&self, context: &KernelContext<'_>) -> ::ort::Result<Computed> {
        let place = context.get::<i64>(LAYER).and_then(|place| usize::try_from(place).ok());
        let place = place.filter(|&place| place < self.layers.len());
        let place = place.ok_or_else(|| Error::new("a node without its layer"))?;
        Ok(Computed { layers: Arc::clone(&self.layers), place })
    }
}

/// A node. It has no state: several runs of a session are in it at once.
struct Computed {
    layers: Arc<Vec<Layer>>,
    place: usize,
}

impl Kernel for Computed {
    fn compute(&mut self, context: &ComputeContext) -> ::ort::Result<()> {
        let compute = || {
            let computed = match &self.layers[self.place] {
                Layer::Linear(layer) => linear(layer, context),
                Layer::Norm(layer) => norm(layer, context),
                Layer::Attention(layer) => attention(layer, context),
                Layer::RmsNorm(layer) => rms(layer, context),
                Layer::Causal(layer) => causal(layer, context),
                Layer::Gated(layer) => gated(layer, context),
                &Layer::Means(of) => means(of, context),
            };
            Ok(computed)
        };
        caught(compute).map_err(|error| Error::new(error.to_string()))?
    }
}

fn linear(layer: &LinearLayer, context: &ComputeContext) -> ::ort::Result<()> {
    let linear = layer.linear();
    with_input(context, 0, |shape, values| {
        with_output(context, shape, linear.matrix.n(), |output| {
            linear.run(Cpu::chosen(), values, output, &Pool(context));
        })
    })
}

fn norm(layer: &NormLayer, context: &ComputeContext) -> ::ort::Result<()> {
    with_input(context, 0, |shape, rows| {
        with_input(context, 1, |_, skip| {
            let summands = Summands { rows, skip: Some(skip), bias: layer.bias.as_deref() };
            with_output(context, shape, layer.scale.len(), |output| {
                add_and_norm(Cpu::chosen(), &Pool(context), summands, layer.norm(), output);
            })
        })
    })
}

fn attention(layer: &AttentionLayer, context: &ComputeContext) -> ::ort::Result<()> {
    let AttentionLayer { heads, size, ref distances, exact } = *layer;
    let width = heads * size;
    with_asking(context, [width; 2], |shape, [queries, keys, values], [starts, asking]| {
        let distances = distances.as_deref().map(|table| Distances { table: &table.scores, reach: table.reach });
        let attention = Attention { heads, size, queries, keys, values, starts, asking, distances, exact };
        with_output(context, shape, width, |output| attend(Cpu::chosen(), &Pool(context), &attention, output))
    })
}

fn rms(layer: &RmsNormLayer, context: &ComputeContext) -> ::ort::Result<()> {
    with_input(context, 0, |shape, rows| {
        with_output(context, shape, layer.scale.len(), |output| {
            rms_norm(Cpu::chosen(), &Pool(context), rows, layer.norm(), output);
        })
    })
}

fn causal(layer: &CausalLayer, context: &ComputeContext) -> ::ort::Result<()> {
    let &CausalLayer { heads, key_heads, size, scale, cap, window, .. } = layer;
    with_asking(context, [heads * size, key_heads * size], |shape, [queries, keys, values], [starts, asking]| {
        let attention = CausalAttention {
            heads,
            key_heads,
            size,
            queries,
            keys,
            values,
            starts,
            asking,
            shared: if starts.len() > 2 && asking[1] == 0 { starts[1] } else { 0 },
            scale,
            cap,
            window,
            rotary: &layer.rotary,
            query_norm: layer.query_norm.as_ref().map(RmsNormLayer::norm),
            key_norm: layer.key_norm.as_ref().map(RmsNormLayer::norm),
        };
        with_output(context, shape, heads * size, |output| {
            attend_causally(Cpu::chosen(), &Pool(context), &attention, output);
        })
    })
}

fn gated(layer: &GatedLayer, context: &ComputeContext) -> ::ort::Result<()> {
    let gated = layer.gated();
    with_input(context, 0, |shape, rows| {
        with_output(context, shape, gated.down.n(), |output| {
            gated.run(Cpu::chosen(), rows, output, &Pool(context));
        })
    })
}

/// Of rows: where texts begin among them and among those that are left, and what of each text stays.
fn means(of: usize, context: &ComputeContext) -> ::ort::Result<()> {
    let [starts, left, kept] = [whole_numbers(context, 1)?, whole_numbers(context, 2)?, whole_numbers(context, 3)?];
    let (kept, _) = kept.as_chunks();
    with_input(context, 0, |shape, rows| {
        let size = rows.len() / starts.last().copied().unwrap_or(1).max(1);
        let means = Means { of, starts: &starts, left: &left, kept, size };
        let mut shape = shape.to_vec();
        shape[1] = left.last().map_or(0, |&tokens| i64::try_from(tokens).unwrap_or(i64::MAX));
        with_output(context, &shape, size, |output| means.run(&Pool(context), rows, output))
    })
}

/// Queries, and keys and values, of these widths: all side by side, or queries of one token a text, and the others side by side. `work`
/// also gets where each text begins among the tokens, and among the queries.
fn with_asking(
    context: &ComputeContext,
    [asking_width, asked_width]: [usize; 2],
    work: impl FnOnce(&[i64], [Rows; 3], [&[usize]; 2]) -> ::ort::Result<()>,
) -> ::ort::Result<()> {
    let starts = whole_numbers(context, 0)?;
    with_input(context, 1, |shape, first| {
        if context.num_inputs()? < 3 {
            let stride = asking_width + 2 * asked_width;
            let rows = |column: usize| Rows { numbers: &first[column..], stride };
            let rows = [rows(0), rows(asking_width), rows(asking_width + asked_width)];
            return work(shape, rows, [&starts, &starts]);
        }
        with_input(context, 2, |_, second| {
            let rows = |column: usize| Rows { numbers: &second[column..], stride: 2 * asked_width };
            let rows = [Rows { numbers: first, stride: asking_width }, rows(0), rows(asked_width)];
            let (tokens, queries) = (starts[starts.len() - 1], first.len() / asking_width);
            let asking = if queries == tokens { starts.clone() } else { (0..starts.len()).collect() };
            let beginning = second.len() / (2 * asked_width) - tokens;
            if beginning == 0 {
                return work(shape, rows, [&starts, &asking]);
            }
            // What all texts begin with comes first, and asks nothing.
            let starts: Vec<_> = std::iter::once(0).chain(starts.iter().map(|start| start + beginning)).collect();
            let asking: Vec<_> = std::iter::once(0).chain(asking).collect();
            work(shape, rows, [&starts, &asking])
        })
    })
}

fn missing(place: usize) -> Error {
    Error::new(format!("there is no input {place}"))
}

fn whole_numbers(context: &ComputeContext, place: usize) -> ::ort::Result<Vec<usize>> {
    let value = context.input(place)?.ok_or_else(|| missing(place))?;
    let (_, numbers) = value.try_extract_tensor::<i64>()?;
    Ok(numbers.iter().map(|&number| usize::try_from(number).unwrap_or_default()).collect())
}

fn with_input<R>(
    context: &ComputeContext,
    place: usize,
    work: impl FnOnce(&[i64], &[f32]) -> ::ort::Result<R>,
) -> ::ort::Result<R> {
    let value = context.input(place)?.ok_or_else(|| missing(place))?;
    let (shape, numbers) = value.try_extract_tensor::<f32>()?;
    work(shape, numbers)
}

/// The output, of the shape of an input but for the last dimension.
fn with_output(
    context: &ComputeContext,
    shape: &[i64],
    width: usize,
    work: impl FnOnce(&mut [f32]),
) -> ::ort::Result<()> {
    let mut shape = shape.to_vec();
    if let Some(last) = shape.last_mut() {
        *last = i64::try_from(width).unwrap_or(i64::MAX);
    }
    let mut value = context.output(0, shape)?.ok_or_else(|| Error::new("there is no output"))?;
    let (_, numbers) = value.try_extract_tensor_mut::<f32>()?;
    work(numbers);
    Ok(())
}

/// The threads of the session.
struct Pool<'a>(&'a ComputeContext);

impl Threads for Pool<'_> {
    fn share(&self, parts: usize, part: &(dyn Fn(usize) + Sync)) {
        let stop = stop();
        let part = |number| {
            if !stop() {
                part(number);
            }
        };
        if parts < 2 {
            return (0..parts).for_each(part);
        }
        let panicked = AtomicBool::new(false);
        // Through ONNX Runtime's own frames nothing may unwind.
        let shared = self.0.par_for(parts, 0, |number| {
            if catch_unwind(AssertUnwindSafe(|| part(number))).is_err() {
                panicked.store(true, Ordering::Relaxed);
            }
        });
        assert!(shared.is_ok() && !panicked.into_inner(), "a part of the work failed");
    }
}
