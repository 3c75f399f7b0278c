//! How a list is cut into pages.

use super::Key;

/// Rows to ask for: one more than wanted says whether a next page exists.
pub(super) fn fetch(limit: u32) -> i64 {
    i64::from(limit) + 1
}

/// Leaves one page of what was fetched, and says where the next one begins, if there is one.
pub(super) fn cut<T>(rows: &mut Vec<T>, limit: u32, id: impl Fn(&T) -> Key) -> Option<Key> {
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    rows.last().filter(|_| more).map(id)
}
