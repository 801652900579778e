//! Pairs of texts → ids of each text, once, however many pairs it stands in.

use std::collections::HashMap;

use super::model::Model;
use crate::Result;

/// Ids of texts, and the places among them of each pair's two.
pub(super) struct Contents {
    texts: Vec<Vec<u32>>,
    pairs: Vec<(usize, usize)>,
}

impl Contents {
    /// Tokenizes what stands in pairs, so far as the first `length` ids need it.
    pub fn of<T: AsRef<str> + Sync>(model: &Model, pairs: &[&(T, T)], length: usize) -> Result<Self> {
        let mut places: HashMap<&str, usize> = HashMap::new();
        let mut texts: Vec<&str> = Vec::new();
        let mut place = |text| {
            *places.entry(text).or_insert_with(|| {
                texts.push(text);
                texts.len() - 1
            })
        };
        let pairs = pairs.iter().map(|(query, passage)| (place(query.as_ref()), place(passage.as_ref()))).collect();
        let threads = model.sessions().device().threads();
        Ok(Self { texts: model.tokenizer().content_many(&texts, length, threads)?, pairs })
    }

    /// Ids of both texts of each pair, at least as many as were asked for.
    pub fn pairs(&self) -> impl Iterator<Item = [&[u32]; 2]> {
        self.pairs.iter().map(|&(query, passage)| [&self.texts[query][..], &self.texts[passage][..]])
    }
}
