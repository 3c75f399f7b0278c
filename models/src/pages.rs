//! Large pages for what large models hold in memory.
//!
//! A decoder reads all its weights for every token, and all that its layers keep of the sound. In pages of 4 kB, as systems give them
//! unless asked, it is the processor's table of pages that this waits for: in pages of 2 MB a token of Whisper base takes 18 ms in place of
//! 21, in int8 8 in place of 11 (with all of it moved at once; what is taken later is only marked, for the system to move). ONNX Runtime
//! and llama.cpp do not ask for them, so it is done here for what they have taken.

use std::{fs, ops::Range};

/// A smaller model has its weights in the processor's own memory, or nearly.
const LARGE: u64 = 32 << 20;
/// Smaller mappings are stacks and odds and ends, which are half empty: large pages would fill them.
const MAPPING: usize = 16 << 20;
/// What a large page is on x86-64, and on most of ARM's.
const PAGE: usize = 2 << 20;

/// Puts what this process holds into large pages, if the model that was just loaded has so many bytes that it is worth it. It is a hint:
/// where the system refuses, all stays as it is. The system copies what is there, page by page: while a model is loaded there is time for it.
pub(crate) fn widen_for(bytes: u64) {
    if bytes >= LARGE {
        let wide = each(|range| hint(range) && collapse(range));
        tracing::debug!(megabytes = wide >> 20, "memory lies in large pages");
    }
}

/// Asks for large pages where so many bytes were taken since, in the middle of the work: nothing is moved now. What is taken from there
/// from now on lies in large pages, and the system may put the rest there when it finds the time.
pub(crate) fn hint_for(bytes: u64) {
    if bytes >= LARGE {
        let wide = each(hint);
        tracing::debug!(megabytes = wide >> 20, "memory is to lie in large pages");
    }
}

/// Of how many bytes that this process holds it was done.
fn each(done: impl Fn(&Range<usize>) -> bool) -> usize {
    let Ok(maps) = fs::read_to_string("/proc/self/maps") else { return 0 };
    maps.lines().filter_map(held).filter(done).map(|range| range.len()).sum()
}

/// The whole large pages of a line of `/proc/PID/maps`, where it tells of much that can be written and lies in no file.
fn held(line: &str) -> Option<Range<usize>> {
    let mut fields = line.split_ascii_whitespace();
    let (from, to) = fields.next()?.split_once('-')?;
    let (from, to) = (usize::from_str_radix(from, 16).ok()?, usize::from_str_radix(to, 16).ok()?);
    let is_private = fields.next()? == "rw-p";
    let is_anonymous = matches!(fields.nth(3), None | Some("[heap]"));
    let range = from.next_multiple_of(PAGE)..to / PAGE * PAGE;
    (is_private && is_anonymous && to.saturating_sub(from) >= MAPPING && !range.is_empty()).then_some(range)
}

/// Whether the system knows that large pages are wanted there.
#[cfg(target_os = "linux")]
fn hint(range: &Range<usize>) -> bool {
    advise(range, libc::MADV_HUGEPAGE)
}

/// Whether the pages there have become large ones.
#[cfg(target_os = "linux")]
fn collapse(range: &Range<usize>) -> bool {
    advise(range, libc::MADV_COLLAPSE)
}

#[cfg(target_os = "linux")]
fn advise(range: &Range<usize>, advice: libc::c_int) -> bool {
    // SAFETY: the two pieces of advice above say how pages lie in memory, and change nothing of what is in them; of what is no mapping any
    // more the system says so.
    unsafe { libc::madvise(std::ptr::without_provenance_mut(range.start), range.len(), advice) == 0 }
}

#[cfg(not(target_os = "linux"))]
fn hint(_range: &Range<usize>) -> bool {
    false
}

#[cfg(not(target_os = "linux"))]
fn collapse(_range: &Range<usize>) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_much_memory_that_lies_in_no_file_is_widened() {
        let heap = "55d0c0100000-55d0c4100000 rw-p 00000000 00:00 0                          [heap]";
        assert_eq!(held(heap), Some(0x55d0_c020_0000..0x55d0_c400_0000));
        assert!(held("7f0000000000-7f0004000000 rw-p 00000000 00:00 0 ").is_some());
        for other in [
            "7f0000000000-7f0004000000 r--p 00000000 00:00 0 ",
            "7f0000000000-7f0004000000 rw-p 00000000 fd:00 131 /models/mind.gguf",
            "7f0000000000-7f0000800000 rw-p 00000000 00:00 0 ",
            "7ffc00000000-7ffc04000000 rw-p 00000000 00:00 0                          [stack]",
            "no line of such a file",
            "",
        ] {
            assert_eq!(held(other), None, "{other}");
        }
    }

    /// Whether large pages are wanted at an address, as the system tells.
    fn is_wanted_large(address: usize) -> bool {
        let smaps = fs::read_to_string("/proc/self/smaps").unwrap();
        let mut is_there = false;
        for line in smaps.lines() {
            let range = line.split_ascii_whitespace().next().and_then(|range| range.split_once('-'));
            let range = range.and_then(|(from, to)| {
                Some(usize::from_str_radix(from, 16).ok()?..usize::from_str_radix(to, 16).ok()?)
            });
            is_there = range.map_or(is_there, |range| range.contains(&address));
            if let Some(flags) = line.strip_prefix("VmFlags:").filter(|_| is_there) {
                return flags.split_ascii_whitespace().any(|flag| flag == "hg");
            }
        }
        false
    }

    #[test]
    fn large_pages_are_asked_for_and_what_is_held_stays_as_it_was() {
        let system = fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled").unwrap_or_default();
        if system.is_empty() || system.contains("[never]") {
            println!("this system gives no large pages: there is nothing to see");
            return;
        }
        for way in [widen_for, hint_for] {
            let numbers: Vec<u64> = (0..8 << 20).collect();
            let middle = numbers[4 << 20..].as_ptr().addr();
            way(LARGE);
            assert!(is_wanted_large(middle));
            assert!(numbers.iter().enumerate().all(|(at, number)| at as u64 == *number));
        }
    }
}
