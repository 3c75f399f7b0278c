//! How attention is computed where nobody says: on a processor there are two ways, and which is quicker depends on what is kept.
//!
//! llama.cpp's flash attention takes 64 tokens and more by pieces, and is then the quicker one by a third. Fewer, as a caller's sentence
//! has and replies under way, it takes one by one, at 2.7 to 4 times the price that plain products of matrices have for a place that is
//! looked at. Those in turn look at all places that are taken, other conversations' too, and discard what is not the token's own. So behind
//! long instructions that all share the products are quicker; where much is kept that is each one's own, flash attention is.

use super::LlamaOptions;

/// What a place costs by flash attention, in halves of what it costs by products. It is somewhat less than measured: with the longer pieces
/// the products lose again.
const HALVES: usize = 5;
/// Places that products may have to look at: for all heads of a model of 7B, and for the longest piece, they are 270 MB at once.
const PLACES: usize = 8_192;
/// Tokens of a conversation in the middle of it, behind its instructions.
const SAID: usize = 256;

/// Whether flash attention is used, with instructions of so many tokens and as many places in all; none: llama.cpp decides.
pub(super) fn is_flash(options: &LlamaOptions, on_card: bool, instructions: &[usize], places: usize) -> Option<bool> {
    // What is kept in fewer bits only flash attention can read.
    let is_settled = options.flash_attention.is_some() || options.cache.bits() < 16.0;
    if is_settled || on_card || instructions.is_empty() || places > PLACES {
        return options.flash_attention;
    }
    let all: usize = instructions.iter().sum();
    let said = SAID.min(options.context_tokens);
    let own = all / instructions.len() + said;
    let taken = all + options.sequences.max(1) * said;
    (2 * taken <= HALVES * own).then_some(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llama::CacheType;

    fn flash(sequences: usize, instructions: &[usize]) -> Option<bool> {
        is_flash(&LlamaOptions { sequences, ..LlamaOptions::default() }, false, instructions, PLACES)
    }

    #[test]
    fn long_instructions_that_all_share_are_looked_at_by_products() {
        assert_eq!(flash(1, &[1_000]), Some(false));
        assert_eq!(flash(8, &[1_000]), Some(false));
        assert_eq!(flash(4, &[300]), Some(false));
        assert_eq!(flash(2, &[800, 1_000]), Some(false));
    }

    #[test]
    fn where_most_is_each_ones_own_or_another_prompts_llama_cpp_decides() {
        assert_eq!(flash(8, &[300]), None);
        assert_eq!(flash(50, &[1_000]), None);
        assert_eq!(flash(1, &[300; 6]), None);
        assert_eq!(flash(1, &[]), None);
    }

    #[test]
    fn what_is_told_holds_and_cards_fewer_bits_and_many_places_are_not_kept_from_flash_attention() {
        let usual = LlamaOptions { sequences: 1, ..LlamaOptions::default() };
        assert_eq!(is_flash(&usual, true, &[1_000], PLACES), None);
        assert_eq!(is_flash(&usual, false, &[1_000], PLACES + 1), None);
        assert_eq!(is_flash(&LlamaOptions { cache: CacheType::Q8, ..usual.clone() }, false, &[1_000], PLACES), None);
        for told in [true, false] {
            let options = LlamaOptions { flash_attention: Some(told), ..usual.clone() };
            assert_eq!(is_flash(&options, false, &[1_000], PLACES), Some(told));
        }
    }
}
