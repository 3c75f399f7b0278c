//! What of the models is put on graphics cards, and whether they have room for it.
//!
//! Graphs go to the one card that `[engines] card` names. llama.cpp puts the layers that it may on all cards, on each as many as it has room
//! beside the others when it is loaded, and it is loaded last.

use std::collections::BTreeSet;

use super::memory::{Need, told};
use crate::{gpu::Card, weights::amount};

/// Where a model is kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Place {
    /// In memory.
    Memory,
    /// On the card of this number; the first is 0.
    Card(usize),
    /// So much of it on all cards, 0 to 1, and the rest in memory: a language model, by its layers.
    Cards(f64),
}

impl Place {
    /// How much of a model is not in memory.
    pub(super) fn on_cards(self) -> f64 {
        match self {
            Self::Memory => 0.0,
            Self::Card(_) => 1.0,
            Self::Cards(share) => share,
        }
    }
}

/// What is put on this card alone.
fn alone_on(number: usize, needs: &[Need]) -> impl Iterator<Item = &Need> {
    needs.iter().filter(move |need| need.place == Place::Card(number))
}

fn bytes<'n>(needs: impl Iterator<Item = &'n Need>) -> u64 {
    needs.map(|need| need.split().0).fold(0, u64::saturating_add)
}

/// What is put on all of them.
fn on_all(needs: &[Need]) -> u64 {
    bytes(needs.iter().filter(|need| matches!(need.place, Place::Cards(_))))
}

/// What each has left for that.
fn left(needs: &[Need], cards: &[Card]) -> Vec<u64> {
    let left = |(number, card): (usize, &Card)| card.free.saturating_sub(bytes(alone_on(number, needs)));
    cards.iter().enumerate().map(left).collect()
}

/// Refuses what these cards have no room for. Where there are none, or no driver that tells, nothing is refused.
///
/// # Errors
/// A sentence that names the card, with the figures, and goes on with how it is mended.
pub(super) fn fit(needs: &[Need], cards: &[Card], mend: &str) -> Result<(), String> {
    if cards.is_empty() {
        return Ok(());
    }
    let named = |need: &Need| if let Place::Card(number) = need.place { Some(number) } else { None };
    for number in needs.iter().filter_map(named).collect::<BTreeSet<_>>() {
        let Some(Card { free, .. }) = cards.get(number) else {
            let last = cards.len() - 1;
            return Err(format!(
                "[engines] card names card {number}, and the last that this process may use is card {last}: name another, or look \
                 at CUDA_VISIBLE_DEVICES"
            ));
        };
        let wanted = bytes(alone_on(number, needs));
        if wanted > *free {
            let (wanted, free) = (amount(wanted), amount(*free));
            let told = alone_on(number, needs).map(told).collect::<Vec<_>>().join(", ");
            return Err(format!(
                "the models take at least {wanted} of card {number}, of which {free} are free ({told}): name another [engines] card, \
                 or {mend}"
            ));
        }
    }
    let (wanted, left) = (on_all(needs), left(needs, cards));
    let free = left.iter().fold(0, |sum: u64, free| sum.saturating_add(*free));
    if wanted > free {
        let each = left.iter().enumerate().map(|(number, free)| format!("card {number}: {}", amount(*free)));
        return Err(format!(
            "the language model takes at least {} of the graphics cards, of which {} are free beside the other models ({}): give \
             fewer [engines.llm] gpu_layers, or {mend}",
            amount(wanted),
            amount(free),
            each.collect::<Vec<_>>().join(", ")
        ));
    }
    Ok(())
}

/// What is put on each, in lines for a person; `are_used`: this build computes on them.
pub(super) fn plan(needs: &[Need], cards: &[Card], are_used: bool) -> Vec<String> {
    if cards.is_empty() {
        return vec!["no GPU found: everything is computed by the processor".into()];
    }
    let (layers, left) = (on_all(needs) as f64, left(needs, cards));
    let all_left = left.iter().map(|left| *left as f64).sum::<f64>().max(1.0);
    let line = |(number, card): (usize, &Card)| {
        let has = format!("has {} free of {}", amount(card.free), amount(card.total));
        if !are_used {
            return format!("card {number} {has}; nothing is computed on it");
        }
        let its_layers = layers * left[number] as f64 / all_left;
        let wanted = bytes(alone_on(number, needs)).saturating_add(its_layers as u64);
        format!("{} of it on card {number}, which {has}", amount(wanted))
    };
    cards.iter().enumerate().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GB: u64 = 1_000_000_000;

    fn need(job: &'static str, files: u64, place: Place) -> Need {
        Need { job, name: format!("a {job}"), files, place, talk: None }
    }

    /// Cards of 8 GB with so much free.
    fn cards(free: &[u64]) -> Vec<Card> {
        free.iter().map(|free| Card { free: *free, total: 8 * GB }).collect()
    }

    #[test]
    fn what_goes_to_the_named_card_must_fit_on_that_one() {
        let wanted = [need("stt", 3 * GB, Place::Card(1)), need("translate", 2 * GB, Place::Card(1))];
        assert_eq!(fit(&wanted, &cards(&[GB, 5 * GB]), "mend"), Ok(()));
        let refused = fit(&wanted, &cards(&[8 * GB, 4 * GB]), "mend").expect_err("the other one has room");
        let says = "the models take at least 5.0 GB of card 1, of which 4.0 GB are free (stt a stt 3.0 GB, translate a translate \
                    2.0 GB): name another [engines] card, or mend";
        assert_eq!(refused, says);
        let refused = fit(&wanted, &cards(&[8 * GB]), "mend").expect_err("there is no such card");
        assert!(refused.contains("names card 1, and the last that this process may use is card 0"), "{refused}");
        assert_eq!(fit(&wanted, &[], "mend"), Ok(()), "nobody says what there is");
    }

    #[test]
    fn layers_go_to_all_cards_by_what_the_graphs_leave_free_on_each() {
        let wanted = [need("stt", 2 * GB, Place::Card(0)), need("llm", 12 * GB, Place::Cards(0.5))];
        assert_eq!(fit(&wanted, &cards(&[5 * GB, 3 * GB]), "mend"), Ok(()), "no card alone has room for six");
        let refused = fit(&wanted, &cards(&[5 * GB, 2 * GB]), "mend").expect_err("the graphs want some of it");
        let says = "the language model takes at least 6.0 GB of the graphics cards, of which 5.0 GB are free beside the other models \
                    (card 0: 3.0 GB, card 1: 2.0 GB): give fewer [engines.llm] gpu_layers, or mend";
        assert_eq!(refused, says);
        let told = plan(&wanted, &cards(&[4 * GB, 6 * GB]), true);
        let expected = [
            "3.5 GB of it on card 0, which has 4.0 GB free of 8.0 GB",
            "4.5 GB of it on card 1, which has 6.0 GB free of 8.0 GB",
        ];
        assert_eq!(told, expected);
        assert_eq!(
            plan(&wanted, &cards(&[GB]), false),
            ["card 0 has 1.0 GB free of 8.0 GB; nothing is computed on it"]
        );
        assert!(plan(&wanted, &[], true)[0].contains("no GPU found"));
    }
}
