//! BGE-M3: dense, lexical and multi-vector output of one pass.

use super::embedder::{Embeddings, EncodeOptions};
use super::model::{Model, Rows, Verb, Watch};
use crate::Result;
use crate::batch::Inputs;
use crate::memory::room_for;
use crate::outputs::{
    Array, Kept, Lexical, MultiVectors, Outcome, Outputs, Part, TokenVectors, lexical_weights, token_vectors,
};
use crate::tokenizer::Tokens;

/// What one call asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct M3Options {
    /// As for a dense embedder; `finish` counts for the multi-vector output too.
    pub encode: EncodeOptions,
    /// One vector a text.
    pub dense: bool,
    /// Lexical weights; these ids get none.
    pub sparse: Option<Vec<u32>>,
    /// A vector for every token but the first.
    pub colbert: Option<Kept>,
}

/// What a call gives, in the order of its texts; empty where it was not asked for.
#[derive(Debug)]
pub struct M3Vectors {
    /// One vector a text.
    pub dense: Embeddings,
    /// One a text.
    pub sparse: Vec<Lexical>,
    /// Vectors of tokens.
    pub colbert: Option<MultiVectors>,
}

/// One text's part of that.
#[derive(Default)]
pub(crate) struct TextVectors {
    dense: Option<Vec<f32>>,
    sparse: Option<Lexical>,
    colbert: Option<TokenVectors>,
}

impl Model {
    /// Encodes `texts` in one pass for everything that is asked for. `watch` as in [`Model::encode`].
    ///
    /// # Errors
    /// Those of [`Model::encode`].
    pub fn encode_m3<T: AsRef<str> + Sync>(
        &self,
        texts: &[T],
        options: &M3Options,
        watch: &mut Watch,
    ) -> Result<M3Vectors> {
        let count = |on| if on { texts.len() } else { 0 };
        let dimension = options.encode.finish.length(self.dimension());
        let mut sparse = room_for(count(options.sparse.is_some()), "lexical weights")?;
        sparse.resize(count(options.sparse.is_some()), Lexical::default());
        let mut all = M3Vectors {
            dense: Embeddings::new(count(options.dense), dimension)?,
            sparse,
            colbert: options.colbert.map(MultiVectors::new),
        };
        self.each(texts, options, &mut all, watch)?;
        Ok(all)
    }
}

impl<T: AsRef<str> + Sync> Verb<T> for M3Options {
    type Row = TextVectors;
    const ITEMS: &'static str = "texts";

    fn texts(item: &T) -> (&str, &str) {
        (item.as_ref(), "")
    }

    fn tokenize(&self, model: &Model, texts: &[&T], name: &dyn Fn(usize) -> String) -> Result<Vec<Tokens>> {
        self.encode.tokenize(model, texts, name)
    }

    fn batch_size(&self) -> usize {
        self.encode.limits.batch_size
    }

    fn outputs(&self) -> Outputs {
        let wanted = [
            (self.dense, self.encode.pooling.part()),
            (self.sparse.is_some(), Part::Sparse),
            (self.colbert.is_some(), Part::Colbert),
        ];
        wanted.into_iter().filter(|(on, _)| *on).fold(Outputs::NONE, |set, (_, part)| set.with(part))
    }

    fn read(&self, model: &Model, inputs: &Inputs, arrays: &[Array]) -> Outcome<Vec<TextVectors>> {
        let mut texts: Vec<TextVectors> = (0..inputs.rows).map(|_| TextVectors::default()).collect();
        for (part, &array) in Verb::<T>::outputs(self).iter().zip(arrays) {
            match part {
                Part::Sparse => {
                    let rows = lexical_weights(inputs, array, self.sparse.as_deref().unwrap_or_default())?;
                    texts.iter_mut().zip(rows).for_each(|(text, row)| text.sparse = Some(row));
                }
                Part::Colbert => {
                    let rows = token_vectors(inputs, array, self.encode.finish)?;
                    texts.iter_mut().zip(rows).for_each(|(text, row)| text.colbert = Some(row));
                }
                _ => {
                    let rows = model.pool(inputs, array, &self.encode)?;
                    texts.iter_mut().zip(rows).for_each(|(text, row)| text.dense = Some(row));
                }
            }
        }
        Ok(texts)
    }
}

impl Rows<TextVectors> for M3Vectors {
    fn expect(&mut self, place: usize, tokens: &Tokens) {
        self.dense.expect(place, tokens);
        if let Some(colbert) = &mut self.colbert {
            colbert.add(tokens.ids.len());
        }
    }

    fn expect_again(&mut self, first: usize) {
        self.dense.expect_again(first);
        if let Some(colbert) = &mut self.colbert {
            colbert.add_again(first);
        }
    }

    fn put(&mut self, place: usize, row: TextVectors) -> Result<()> {
        if let Some(vector) = row.dense {
            self.dense.put(place, vector)?;
        }
        if let Some(weights) = row.sparse {
            self.sparse[place] = weights;
        }
        if let (Some(colbert), Some(vectors)) = (&mut self.colbert, row.colbert) {
            colbert.put(place, vectors)?;
        }
        Ok(())
    }

    fn copy(&mut self, first: usize, place: usize) -> Result<()> {
        if !self.dense.values.is_empty() {
            self.dense.copy(first, place)?;
        }
        if !self.sparse.is_empty() {
            self.sparse[place] = self.sparse[first].clone();
        }
        self.colbert.as_mut().map_or(Ok(()), |colbert| colbert.copy(first, place))
    }
}
