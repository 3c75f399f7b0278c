//! What texts mean, as vectors: `embeddings`.

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use serde::{Deserialize, Serialize};

use crate::{
    engine::{EngineError, RemoteFault},
    remote::{Remote, RemoteOptions},
};

/// Texts of one request.
pub const MOST: usize = 64;
/// Figures of one vector.
const LONGEST: usize = 8_192;
/// Bytes of an answer: all of them, each figure in some twenty letters.
const LARGEST: usize = MOST * LONGEST * 20;

/// Asks one model; cheap to clone.
#[derive(Clone)]
pub struct Embedder {
    remote: Remote,
    model: String,
}

#[derive(Serialize)]
struct Question<'a> {
    model: &'a str,
    input: &'a [&'a str],
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<Place>,
}

#[derive(Deserialize)]
struct Place {
    index: usize,
    embedding: Vec<f32>,
}

impl Embedder {
    /// A model on a server, which is not asked before the first text.
    ///
    /// # Errors
    /// [`EngineError::Load`]: address, key, proxy or authorities are not what they should be.
    pub fn new(options: &RemoteOptions) -> Result<Self, EngineError> {
        let remote = Remote::new("remote embedder", options, (AUTHORIZATION, "Bearer "))?;
        Ok(Self { remote, model: options.model.clone() })
    }

    /// A vector of length one for each of these texts, in their order.
    ///
    /// # Errors
    /// The server does not answer, or with something else.
    pub async fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EngineError> {
        if texts.is_empty() || texts.len() > MOST {
            return Err(EngineError::Input(format!("{} texts at once: 1 to {MOST}", texts.len())));
        }
        let _place = self.remote.place()?;
        let until = self.remote.deadline();
        let question = Question { model: &self.model, input: texts };
        let body = serde_json::to_vec(&question).map_err(|error| EngineError::Input(error.to_string()))?;
        let asked = self.remote.post("embeddings").header(CONTENT_TYPE, "application/json").body(body);
        let response = self.remote.send(asked, until).await?;
        let body = self.remote.body(response, LARGEST, until).await?;
        let broken = |says: String| self.remote.fault(RemoteFault::Broken, says);
        let answer: Answer =
            serde_json::from_slice(&body).map_err(|error| broken(format!("answers with no vectors: {error}")))?;
        vectors(answer, texts.len()).map_err(|says| broken(says.into()))
    }
}

/// The vectors in the order of their texts, each of length one.
fn vectors(Answer { mut data }: Answer, count: usize) -> Result<Vec<Vec<f32>>, &'static str> {
    data.sort_by_key(|place| place.index);
    if data.len() != count || data.iter().enumerate().any(|(at, place)| place.index != at) {
        return Err("answers with vectors of other texts than it was asked for");
    }
    let length = data[0].embedding.len();
    if !(1..=LONGEST).contains(&length) || data.iter().any(|place| place.embedding.len() != length) {
        return Err("answers with vectors that are no equals: too long, empty, or of several lengths");
    }
    let whole = |place: Place| {
        let norm = place.embedding.iter().map(|figure| figure * figure).sum::<f32>().sqrt();
        let is_right = norm.is_finite() && norm > 0.0;
        is_right.then(|| place.embedding.into_iter().map(|figure| figure / norm).collect())
    };
    data.into_iter().map(whole).collect::<Option<_>>().ok_or("answers with a vector of nothing")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str, count: usize) -> Result<Vec<Vec<f32>>, &'static str> {
        vectors(serde_json::from_str(json).expect("an answer"), count)
    }

    #[test]
    fn vectors_stand_in_the_order_of_their_texts_and_are_of_length_one() {
        let told =
            r#"{"object": "list", "data": [{"index": 1, "embedding": [0, 2]}, {"index": 0, "embedding": [3.0, 4.0]}]}"#;
        assert_eq!(read(told, 2), Ok(vec![vec![0.6, 0.8], vec![0.0, 1.0]]));
    }

    #[test]
    fn what_is_no_answer_to_the_question_is_told() {
        for (told, count) in [
            (r#"{"data": []}"#, 1),
            (r#"{"data": [{"index": 0, "embedding": [1]}]}"#, 2),
            (r#"{"data": [{"index": 0, "embedding": [1]}, {"index": 0, "embedding": [1]}]}"#, 2),
            (r#"{"data": [{"index": 0, "embedding": [1]}, {"index": 1, "embedding": [1, 0]}]}"#, 2),
            (r#"{"data": [{"index": 0, "embedding": []}]}"#, 1),
            (r#"{"data": [{"index": 0, "embedding": [0, 0]}]}"#, 1),
        ] {
            assert!(read(told, count).is_err(), "{told}");
        }
    }
}
