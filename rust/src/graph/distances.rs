//! What the distance of two tokens adds to their score: relative positions as in `MPNet`, after T5 (Raffel et al., 2020).

use super::builder::Builder;
use super::onnx::Attribute;
use crate::Result;

/// Rows of the table: half of them for tokens before the asking one, half for those behind.
const BUCKETS: i64 = 32;
/// From this distance on all are in the last bucket.
const FARTHEST: i64 = 128;

/// Scores `[1, heads, length, length]` by the table `[buckets, heads]`.
pub(super) fn distance_scores(graph: &mut Builder, table: &str, heads: usize) -> Result<String> {
    let table = graph.small(table, &[usize::try_from(BUCKETS).unwrap_or_default(), heads])?;
    let by_head = graph.node("Transpose", &[&table], "distances.by_head", &[]);
    let buckets: Vec<i64> = (-FARTHEST..=FARTHEST).map(bucket).collect();
    let buckets = graph.constant("distances.buckets", &buckets);
    let along = [Attribute::Int("axis", 1)];
    // One column for each distance, near and far.
    let scores = graph.node("Gather", &[&by_head, &buckets], "distances.scores", &along);

    let distances = distances(graph);
    let (nearest, farthest) = (graph.scalar("distances.least", -FARTHEST), graph.scalar("distances.most", FARTHEST));
    let clipped = graph.node("Clip", &[&distances, &nearest, &farthest], "distances.clipped", &[]);
    let columns = graph.node("Add", &[&clipped, &farthest], "distances.columns", &[]);
    let scores = graph.node("Gather", &[&scores, &columns], "distances.of_pairs", &along);
    let first = graph.constant("axis_0", &[0]);
    Ok(graph.node("Unsqueeze", &[&scores, &first], "distances.added", &[]))
}

/// The same for each distance up to `reach` tokens, `[heads, 2 · reach - 1]`, from the numbers of the table.
pub(super) fn bucket_scores(
    table: impl FnOnce(&[usize]) -> Result<Vec<f32>>,
    heads: usize,
    reach: usize,
) -> Result<Vec<f32>> {
    let table = table(&[usize::try_from(BUCKETS).unwrap_or_default(), heads])?;
    let farthest = i64::try_from(reach).unwrap_or(i64::MAX) - 1;
    let buckets = (-farthest..=farthest).map(|distance| bucket(distance.clamp(-FARTHEST, FARTHEST)));
    let buckets: Vec<usize> = buckets.map(|bucket| usize::try_from(bucket).unwrap_or_default()).collect();
    Ok((0..heads)
        .flat_map(|head| buckets.iter().map(move |bucket| (head, *bucket)))
        .map(|(head, bucket)| table[bucket * heads + head])
        .collect())
}

/// Place of the other token minus place of the asking one, `[length, length]`.
fn distances(graph: &mut Builder) -> String {
    let bounds = [Attribute::Int("start", 1), Attribute::Int("end", 2)];
    let length = graph.node("Shape", &["input_ids"], "distances.length", &bounds);
    let length = graph.node("Squeeze", &[&length], "distances.end", &[]);
    let (zero, one) = (graph.scalar("zero", 0), graph.scalar("one", 1));
    let places = graph.node("Range", &[&zero, &length, &one], "distances.places", &[]);
    let behind = graph.constant("axis_1", &[1]);
    let asking = graph.node("Unsqueeze", &[&places, &behind], "distances.asking", &[]);
    graph.node("Sub", &[&places, &asking], "distances", &[])
}

/// Small distances have a bucket each; from 8 on a bucket ends at every power of √2, which whole numbers tell exactly.
fn bucket(distance: i64) -> i64 {
    let half = BUCKETS / 2;
    let far = distance.abs();
    let near = if far < half / 2 { far } else { (half - 1).min(i64::from((far * far).ilog2()) + 2) };
    if distance > 0 { half + near } else { near }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_those_of_the_logarithm() {
        for distance in -FARTHEST..=FARTHEST {
            let far = f64::from(i32::try_from(distance.abs()).expect("small"));
            let logarithm = 8.0 + (far / 8.0).ln() / 16_f64.ln() * 8.0;
            let near = if far < 8.0 { far } else { (logarithm + 1e-9).floor().min(15.0) };
            let expected = if distance > 0 { near + 16.0 } else { near };
            assert!((f64::from(i32::try_from(bucket(distance)).expect("small")) - expected).abs() < 0.5, "{distance}");
        }
        assert_eq!(bucket(-FARTHEST), 15);
        assert_eq!(bucket(FARTHEST), 31);
    }
}
