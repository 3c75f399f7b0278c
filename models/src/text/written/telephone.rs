//! Telephone numbers, codes and other figures that are read digit by digit.

use super::{Written, digits, space};

/// A long run in groups of the ear's size: Malagasy telephone numbers as people say them, else threes.
pub(in crate::text) fn grouped(run: &str) -> Vec<String> {
    let sizes: &[usize] = match run.len() {
        0..=4 => &[4],
        10 if run.starts_with("03") || run.starts_with("02") => &[3, 2, 3, 2],
        10 => &[2],
        12 if run.starts_with("261") => &[3, 2, 2, 3, 2],
        _ => &[3],
    };
    let mut sizes = sizes.iter().cycle();
    let (mut rest, mut groups) = (run, Vec::new());
    while !rest.is_empty() {
        let size = sizes.next().copied().unwrap_or(3).min(rest.len());
        let (group, left) = rest.split_at(size);
        groups.push(group.to_owned());
        rest = left;
    }
    groups
}

/// "034 12 345 67", "+261 34 12 345 67", "020-22-123-45": a 0 or + in front and seven digits or more.
pub(super) fn telephone(rest: &str) -> Option<(Written, usize)> {
    const MOST: usize = 8;
    let plus = rest.starts_with('+');
    let mut end = usize::from(plus);
    if !plus && !rest.starts_with('0') {
        return None;
    }
    let mut groups = Vec::new();
    let mut total = 0;
    loop {
        let count = digits(&rest[end..]);
        if count == 0 || groups.len() == MOST {
            break;
        }
        groups.push(rest[end..end + count].to_owned());
        total += count;
        end += count;
        let gap = space(&rest[end..]).max(usize::from(rest[end..].starts_with(['-', '.'])));
        if gap == 0 || digits(&rest[end + gap..]) == 0 {
            break;
        }
        end += gap;
    }
    let last = rest[..end].trim_end_matches([' ', '\u{a0}', '\u{202f}', '\u{2009}', '-', '.']).len();
    // "0.1234567" is a number.
    let decimal = !plus && groups.first().is_some_and(|first| first.len() < 2);
    if decimal || !(7..=20).contains(&total) {
        return None;
    }
    if let [run] = groups.as_slice() {
        groups = grouped(run);
    }
    Some((Written::Digits { plus, groups }, last))
}
