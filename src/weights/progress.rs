//! How far a pull is: one line that is drawn again where a person looks, and nothing but lasting lines where nobody does.

use std::{
    io::{IsTerminal, Write},
    time::Duration,
};

use tokio::time::Instant;

/// How often the line is drawn.
const OFTEN: Duration = Duration::from_millis(200);
/// Letters of the line, so that it stays one.
const WIDTH: usize = 79;

/// What a person sees on standard error.
pub(super) struct Progress {
    is_live: bool,
    drawn: Option<Instant>,
    /// The file under way: since when, and from which byte on.
    under_way: Option<(Instant, u64)>,
}

impl Progress {
    pub(super) fn of_process() -> Self {
        Self { is_live: std::io::stderr().is_terminal(), drawn: None, under_way: None }
    }

    /// A line that stays.
    pub(super) fn note(&mut self, text: &str) {
        self.clear();
        eprintln!("{text}");
    }

    /// A file goes on from this byte.
    pub(super) fn begin(&mut self, from: u64) {
        self.under_way = Some((Instant::now(), from));
    }

    /// So much of a file is here.
    pub(super) fn at(&mut self, file: &str, have: u64, size: u64) {
        let now = Instant::now();
        let is_due = self.drawn.is_none_or(|drawn| now.duration_since(drawn) >= OFTEN);
        let Some((since, from)) = self.under_way.filter(|_| self.is_live && is_due) else { return };
        self.drawn = Some(now);
        eprint!("\r\x1b[K{}", line(file, have, size, per_second(have - from.min(have), now.duration_since(since))));
        std::io::stderr().flush().ok();
    }

    fn clear(&mut self) {
        if self.drawn.take().is_some() {
            eprint!("\r\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

fn per_second(bytes: u64, time: Duration) -> u64 {
    (bytes as f64 / time.as_secs_f64().max(0.001)) as u64
}

fn line(file: &str, have: u64, size: u64, speed: u64) -> String {
    let percent = u128::from(have) * 100 / u128::from(size.max(1));
    let left = size.saturating_sub(have).checked_div(speed).filter(|left| *left < 360_000);
    let left = left.map_or_else(String::new, |seconds| format!(", {}:{:02} to go", seconds / 60, seconds % 60));
    let tail = format!("  {percent} % of {}, {}/s{left}", amount(size), amount(speed));
    // The end of a path tells more than its beginning.
    let letters: Vec<char> = file.chars().collect();
    let room = WIDTH.saturating_sub(tail.chars().count());
    let file: String = letters[letters.len().saturating_sub(room)..].iter().collect();
    file + &tail
}

/// Bytes as people say them.
pub(crate) fn amount(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    let mut value = bytes as f64 / 1_000.0;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1_000.0;
        unit += 1;
    }
    let digits = usize::from(value < 9.95);
    format!("{value:.digits$} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_told_as_people_say_them() {
        for (bytes, said) in [
            (0, "0.0 kB"),
            (1_500, "1.5 kB"),
            (92_326_160, "92 MB"),
            (999_600_000, "1.0 GB"),
            (4_372_812_000, "4.4 GB"),
            (u64::MAX, "18446744 TB"),
        ] {
            assert_eq!(amount(bytes), said);
        }
    }

    #[test]
    fn the_line_says_how_far_and_how_long_and_stays_one() {
        assert_eq!(line("a.gguf", 50_000_000, 200_000_000, 10_000_000), "a.gguf  25 % of 200 MB, 10 MB/s, 0:15 to go");
        assert_eq!(line("a.gguf", 0, 0, 0), "a.gguf  0 % of 0.0 kB, 0.0 kB/s");
        let long = line(&"folder/".repeat(40), 1, 2, 1);
        assert!(long.chars().count() == WIDTH && long.contains("50 %"), "{long}");
        assert_eq!(per_second(2_000, Duration::from_millis(500)), 4_000);
    }
}
