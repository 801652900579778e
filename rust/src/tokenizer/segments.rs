//! Texts in segments, where the pipeline would not mark words as the stored tokenizer does.

use std::borrow::Cow;

use tokenizers::pipeline::{
    Model, Normalizer, PipelineNormalizer, PipelineToken, PipelineTokenizer, PreTokenizer, PreTokenizerScratch,
    Segment, SpecialSegmentIterator, normalize_all,
};

use super::Tokenizer;

impl Tokenizer {
    /// Ids of a text that holds a late token, such as a typed `<mask>`, or that is to begin with a space.
    ///
    /// The pipeline marks where words begin (`Metaspace`) before it looks for such tokens, so that a mark goes astray beside
    /// them. The file's own order is: normalize, take these tokens out, then mark the words of what is left.
    pub(super) fn encode_around_tokens(&self, text: &str, out: &mut Vec<PipelineToken>) -> tokenizers::Result<()> {
        let vocabulary = self.pipeline.get_added_vocabulary();
        let (marks, normalizers) = match self.pipeline.get_normalizers().split_last() {
            Some((marks, normalizers)) if !self.prefix_space => (Some(marks), normalizers),
            _ => (None, self.pipeline.get_normalizers()),
        };
        let (mut spans, mut scratch) = (Vec::new(), PreTokenizerScratch::default());
        let mut model_scratch = self.pipeline.get_model().init_scratch();
        for outer in SpecialSegmentIterator::new(text, vocabulary, false, false) {
            let (text, offset) = match outer {
                Segment::SpecialToken(id) => {
                    out.push(id.into());
                    continue;
                }
                Segment::Text { text, input_offset } => (text, input_offset),
            };
            let normalized = normalize_all(normalizers, text, offset)?;
            for inner in SpecialSegmentIterator::new(&normalized, vocabulary, true, false) {
                match inner {
                    Segment::SpecialToken(id) => out.push(id.into()),
                    Segment::Text { text, input_offset } => {
                        let words = match marks {
                            Some(marks) => marks.normalize(text, offset + input_offset)?,
                            None => spaced(text),
                        };
                        spans.clear();
                        self.pipeline.get_pre_tokenizer().pre_tokenize(&words, &mut scratch, &mut spans)?;
                        self.pipeline.get_model().tokenize_spans(&words, &spans, &mut model_scratch, out)?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Ids of tokens that are looked for in the normalized text, if words are marked by `Metaspace`.
pub(super) fn late_tokens(pipeline: &PipelineTokenizer) -> Vec<u32> {
    let Some(PipelineNormalizer::Metaspace(_)) = pipeline.get_normalizers().last() else { return Vec::new() };
    let added = pipeline.get_added_vocabulary().get_added_tokens_decoder();
    added.into_iter().filter_map(|(id, token)| token.normalized.then_some(id)).collect()
}

/// The text with a space before it, if it does not begin with one.
fn spaced(text: &str) -> Cow<'_, str> {
    if text.starts_with(' ') { Cow::Borrowed(text) } else { Cow::Owned(format!(" {text}")) }
}
