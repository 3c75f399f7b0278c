//! Which sequence of the cache a conversation gets, and what of its prompt stands there already.
//!
//! A sequence keeps its tokens after its reply ends, so that the call's next turn, or another call with the same system
//! prompt, need not read them again.

use llama_cpp_2::token::LlamaToken;

/// What one sequence of the cache holds.
#[derive(Debug, Default)]
pub(super) struct Sequence {
    /// Prompt and reply so far.
    pub(super) tokens: Vec<LlamaToken>,
    /// How many of `tokens`, from the start, stand in the cache.
    pub(super) cached: usize,
    /// When it was last given away, in requests.
    given: u64,
    /// Given to a reply now, or kept for good.
    pub(super) taken: bool,
}

impl Sequence {
    fn common(&self, prompt: &[LlamaToken]) -> usize {
        self.tokens[..self.cached].iter().zip(prompt).take_while(|(a, b)| a == b).count()
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.tokens.clear();
        self.cached = 0;
    }
}

/// Where a new prompt goes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The sequence it gets.
    pub(super) sequence: usize,
    /// The sequence whose first `shared` tokens are the prompt's; it may be the same one.
    pub(super) donor: usize,
    /// How many tokens of the prompt need not be read. Always fewer than the prompt has, since the last one must be read for
    /// the model to go on from it.
    pub(super) shared: usize,
}

/// All sequences of the context; the index is llama.cpp's sequence id.
#[derive(Debug)]
pub(super) struct Sequences {
    pub(super) all: Vec<Sequence>,
    requests: u64,
    /// Models with a recurrent state cannot go back to an earlier token.
    sharing: bool,
}

impl Sequences {
    pub(super) fn new(count: usize, sharing: bool) -> Self {
        Self { all: (0..count).map(|_| Sequence::default()).collect(), requests: 0, sharing }
    }

    /// A free one is left.
    pub(super) fn has_room(&self) -> bool {
        self.all.iter().any(|sequence| !sequence.taken)
    }

    /// When a sequence was last given away, in requests.
    pub(super) fn given(&self, sequence: usize) -> u64 {
        self.all[sequence].given
    }

    /// Gives a free sequence to `prompt`: the one that already holds most of what it has in common with it, or else the one
    /// given away longest ago.
    pub(super) fn place(&mut self, prompt: &[LlamaToken]) -> Option<Place> {
        let most = if self.sharing { prompt.len().saturating_sub(1) } else { 0 };
        let common: Vec<usize> = self.all.iter().map(|sequence| sequence.common(prompt).min(most)).collect();
        let shared = common.iter().copied().max().unwrap_or(0);
        let free = || (0..self.all.len()).filter(|&i| !self.all[i].taken);
        // Its own earlier turns: a sequence that keeps more than half of what it holds.
        let own = free()
            .filter(|&i| shared > 0 && common[i] == shared && 2 * shared > self.all[i].cached)
            .max_by_key(|&i| self.all[i].given);
        let sequence = own.or_else(|| free().min_by_key(|&i| self.all[i].given))?;
        let donor = if common[sequence] == shared {
            sequence
        } else {
            common.iter().position(|&count| count == shared).unwrap_or(sequence)
        };
        self.requests += 1;
        let given = &mut self.all[sequence];
        given.given = self.requests;
        given.taken = true;
        given.tokens = prompt.to_vec();
        given.cached = shared;
        Some(Place { sequence, donor, shared })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(ids: &[i32]) -> Vec<LlamaToken> {
        ids.iter().map(|&id| LlamaToken(id)).collect()
    }

    fn finish(sequences: &mut Sequences, place: &Place) {
        let sequence = &mut sequences.all[place.sequence];
        sequence.cached = sequence.tokens.len();
        sequence.taken = false;
    }

    #[test]
    fn a_second_call_shares_the_system_prompt_and_leaves_the_first_its_place() {
        let mut sequences = Sequences::new(3, true);
        let first = sequences.place(&tokens(&[1, 2, 3, 10, 11, 12])).expect("free");
        assert_eq!(first.shared, 0);
        finish(&mut sequences, &first);
        let second = sequences.place(&tokens(&[1, 2, 3, 20, 21])).expect("free");
        assert_ne!(second.sequence, first.sequence);
        assert_eq!((second.donor, second.shared), (first.sequence, 3));
        let next_turn = sequences.place(&tokens(&[1, 2, 3, 10, 11, 12, 30])).expect("free");
        assert_eq!(next_turn, Place { sequence: first.sequence, donor: first.sequence, shared: 6 });
    }

    #[test]
    fn the_last_token_of_a_prompt_is_always_read() {
        let mut sequences = Sequences::new(2, true);
        let first = sequences.place(&tokens(&[1, 2, 3])).expect("free");
        finish(&mut sequences, &first);
        assert_eq!(sequences.place(&tokens(&[1, 2, 3])).expect("free").shared, 2);
    }

    #[test]
    fn a_recurrent_model_shares_nothing() {
        let mut sequences = Sequences::new(2, false);
        let first = sequences.place(&tokens(&[1, 2, 3])).expect("free");
        finish(&mut sequences, &first);
        assert_eq!(sequences.place(&tokens(&[1, 2, 3])).expect("free").shared, 0);
    }

    #[test]
    fn when_all_are_taken_there_is_no_place() {
        let mut sequences = Sequences::new(1, true);
        assert!(sequences.place(&tokens(&[1])).is_some());
        assert!(!sequences.has_room());
        assert!(sequences.place(&tokens(&[1])).is_none());
    }
}
