//! A number as it is dialled, and which of its characters count.

/// A number without its visual separators (RFC 3966 section 5.1.1), parameters, and what gateways drop or act on besides: a code
/// that shows or hides who calls (`#31#`, `*31#`, 3GPP TS 22.030), and the `#` that ends dialling. What is told by its digits must
/// not pass as another because of them.
pub fn bare(number: &str) -> String {
    let number = number.split_once(';').map_or(number, |(number, _)| number);
    let dialled = |(at, character): &(usize, char)| {
        character.is_ascii_alphanumeric() || "*#".contains(*character) || (*at == 0 && *character == '+')
    };
    let number: String = number.trim().char_indices().filter(dialled).map(|(_, character)| character).collect();
    let shown = ["#31#", "*31#", "#30#", "*30#"].iter().find_map(|code| number.strip_prefix(code));
    shown.unwrap_or(&number).trim_end_matches('#').to_owned()
}

/// Whether a number is one of these, however each is written.
pub(crate) fn is_among(number: &str, known: &[String]) -> bool {
    let number = bare(number);
    !number.is_empty() && known.iter().any(|known| bare(known) == number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_between_the_digits_hides_no_number() {
        let known = ["117".to_owned(), "+26117".to_owned()];
        for number in
            ["117", "1-1-7", "1 1 7", "(117)", "117;phone-context=+261", "*31#117", "+261-17", "+261.1(7)", "+261 17"]
        {
            assert!(is_among(number, &known), "{number}");
        }
        for number in ["", "-", "118", "1170", "+117", "26117"] {
            assert!(!is_among(number, &known), "{number}");
        }
    }
}
