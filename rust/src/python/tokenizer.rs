//! A model's tokenizer: ids of texts, and what they stand for.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyList, PyString};

use super::detached;
use super::texts::{borrow_text, borrow_texts};
use crate::run::available_threads;
use crate::tokenizer::{Around, Prompt};

/// A tokenizer. Any number of threads may use it at once.
#[pyclass(frozen, module = "bge_fast._core")]
pub(super) struct Tokenizer(pub(super) Arc<crate::tokenizer::Tokenizer>);

#[pymethods]
impl Tokenizer {
    /// The tokenizer of a model's folder.
    #[new]
    fn new(py: Python<'_>, folder: PathBuf) -> PyResult<Self> {
        detached(py, || crate::tokenizer::Tokenizer::open(&folder).map(|tokenizer| Self(Arc::new(tokenizer))))
    }

    /// How many ids each text has, special tokens included and none cut.
    fn count(&self, texts: &Bound<'_, PyList>) -> PyResult<Vec<usize>> {
        let py = texts.py();
        let texts = borrow_texts(texts, |place| format!("texts[{place}]"))?;
        detached(py, || {
            let tokens = self.0.encode_many(&texts, usize::MAX, available_threads())?;
            Ok(tokens.into_iter().map(|tokens| tokens.ids.len()).collect())
        })
    }

    /// Ids of one text, at most `max_length`, with special tokens or without.
    fn tokenize(
        &self,
        py: Python<'_>,
        text: &Bound<'_, PyString>,
        max_length: usize,
        special: bool,
    ) -> PyResult<Vec<u32>> {
        let text = borrow_text(text, || "the text".into())?;
        let tokenizer = &self.0;
        detached(py, || {
            if special {
                return Ok(tokenizer.encode(&text, max_length)?.ids);
            }
            Ok(tokenizer.cut(&tokenizer.content_up_to(&text, max_length)?, max_length).to_vec())
        })
    }

    /// Ids of a query with texts before and behind it, special tokens included.
    fn tokenize_around(
        &self,
        py: Python<'_>,
        query: &Bound<'_, PyString>,
        around: (String, String),
        max_length: usize,
    ) -> PyResult<Vec<u32>> {
        let query = borrow_text(query, || "the query".into())?;
        detached(py, || Ok(Around::new(&self.0, &around.0, &around.1)?.encode(&self.0, &query, max_length)?.ids))
    }

    /// Ids of a pair with a prompt behind it, and `start` before it.
    #[pyo3(signature = (query, passage, prompt, start, query_max_length, max_length))]
    fn tokenize_prompted(
        &self,
        query: &Bound<'_, PyString>,
        passage: &Bound<'_, PyString>,
        prompt: &Bound<'_, PyString>,
        start: Option<u32>,
        query_max_length: usize,
        max_length: usize,
    ) -> PyResult<Vec<u32>> {
        let py = query.py();
        let [query, passage, prompt] = [(query, "the query"), (passage, "the passage"), (prompt, "the prompt")]
            .map(|(text, name)| borrow_text(text, || name.into()));
        let (query, passage, prompt) = (query?, passage?, prompt?);
        detached(py, || {
            let prompt = Prompt::new(&self.0, start, &prompt)?;
            let query = self.0.content(&query)?;
            let passage = self.0.content(&passage)?;
            let (query, passage) = (self.0.cut(&query, query_max_length), self.0.cut(&passage, max_length));
            Ok(prompt.pair(query, passage, max_length).ids)
        })
    }

    /// Text of ids.
    fn decode(&self, py: Python<'_>, ids: Vec<u32>, skip_special_tokens: bool) -> PyResult<String> {
        detached(py, || self.0.decode(&ids, skip_special_tokens))
    }

    /// The token of an id.
    fn token(&self, id: u32) -> Option<String> {
        self.0.token(id)
    }

    /// The id of a token.
    fn token_id(&self, token: &Bound<'_, PyString>) -> PyResult<Option<u32>> {
        Ok(self.0.id(&borrow_text(token, || "the token".into())?))
    }

    /// All tokens with their ids.
    fn vocabulary(&self) -> HashMap<String, u32> {
        self.0.vocabulary().clone()
    }

    /// Tokens added to the model's own, with their ids, and whether each is special.
    fn added_tokens(&self) -> Vec<(&str, u32, bool)> {
        self.0.added_tokens().collect()
    }

    /// Special tokens: each with its role, or with the key of the list that names it.
    #[getter]
    fn special_tokens(&self) -> Vec<(&str, &str)> {
        self.0.special_tokens().iter().map(|(role, token)| (*role, &**token)).collect()
    }

    /// Ids before, between and behind the texts of a pair.
    #[getter]
    fn pair_frame(&self) -> (Vec<u32>, Vec<u32>, Vec<u32>) {
        let [before, between, after] = self.0.pair_frame().map(<[u32]>::to_vec);
        (before, between, after)
    }

    /// Whether the tokenizer gives token types, and whether the second text of a pair has type 1.
    #[getter]
    fn token_types(&self) -> (bool, bool) {
        (self.0.types(), self.0.types_pairs())
    }

    /// Whether texts are cut on the left.
    #[getter]
    fn cuts_left(&self) -> bool {
        self.0.cuts_left()
    }

    /// Whether blanks before punctuation are taken out of decoded text.
    #[getter]
    fn cleans_up(&self) -> bool {
        self.0.cleans_up()
    }

    /// Number of ids.
    #[getter]
    fn vocabulary_size(&self) -> u32 {
        self.0.size()
    }

    /// Number of ids without those of added tokens.
    #[getter]
    fn model_size(&self) -> u32 {
        self.0.model_size()
    }
}
