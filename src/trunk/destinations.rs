//! Which numbers may be called over a trunk, or by an account: prefixes that are allowed and denied, of which the longest counts.

use milo_signaling::sip::dialled::bare;

/// The destinations of one trunk, or of one account.
#[derive(Clone, Debug, Default)]
pub(crate) struct Destinations {
    /// None: everything that is not denied.
    allow: Option<Vec<String>>,
    deny: Vec<String>,
}

impl Destinations {
    pub(crate) fn new(allow: Option<Vec<String>>, deny: Option<Vec<String>>) -> Self {
        let bare = |prefixes: Vec<String>| prefixes.iter().map(|prefix| bare(prefix)).collect::<Vec<_>>();
        Self { allow: allow.map(bare), deny: deny.map(bare).unwrap_or_default() }
    }

    /// Whether a number, as it is dialled, may be called.
    pub(crate) fn holds(&self, number: &str) -> bool {
        let number = bare(number);
        let allowed = longest(self.allow.iter().flatten(), &number);
        let denied = longest(&self.deny, &number);
        // Prefixes of the same length are the same one, which the configuration refuses to have on both lists.
        if allowed == denied { self.allow.is_none() } else { allowed > denied }
    }
}

/// The length of the longest of these that the number begins with.
fn longest<'p>(prefixes: impl IntoIterator<Item = &'p String>, number: &str) -> Option<usize> {
    let fits = prefixes.into_iter().filter(|prefix| number.starts_with(prefix.as_str()));
    fits.map(String::len).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn destinations(allow: Option<&[&str]>, deny: &[&str]) -> Destinations {
        let owned = |prefixes: &[&str]| prefixes.iter().map(|prefix| (*prefix).to_owned()).collect();
        Destinations::new(allow.map(owned), Some(owned(deny)))
    }

    #[test]
    fn the_longest_prefix_counts() {
        let all = destinations(None, &[]);
        assert!(all.holds("0341234567") && all.holds("+882"));
        // Everything but what is dear, and within that one network.
        let most = destinations(None, &["+882", "00"]);
        assert!(most.holds("034") && !most.holds("+88213") && !most.holds("0033"));
        let some = destinations(Some(&["03", "+261", "+26120999"]), &["0349", "+26120"]);
        for (number, holds) in [
            ("0331234567", true),
            ("0349", false),
            ("034912", false),
            ("03", true),
            ("0", false),
            ("+261341234567", true),
            ("+261201234567", false),
            ("+261209991234", true),
            ("112", false),
            ("", false),
        ] {
            assert_eq!(some.holds(number), holds, "{number}");
        }
        assert!(!some.holds("0-34-9") && !most.holds("+8-82") && most.holds("0-34"), "separators hide nothing");
        assert!(!destinations(Some(&[]), &[]).holds("034"), "a list without prefixes allows nothing");
    }
}
