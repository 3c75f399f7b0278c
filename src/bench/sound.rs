//! `milo bench sound`: the media plane in one table, beside what it has to hold and what Asterisk and rtpengine need for the same.

use anyhow::{Result, ensure};

use super::media::{self, Measured};

/// How to measure.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// How long each row is measured, in seconds.
    #[arg(long, default_value_t = 15)]
    seconds: u64,
}

/// One row: whom so many calls dial, and what stands beside.
struct Row {
    number: &'static str,
    codec: &'static str,
    calls: usize,
    /// What is to be held: percent of a core a hundred calls, and megabytes a call.
    share: f64,
    memory: Option<f64>,
    /// Milliseconds between packets (p99) and after the pace (p999) to be held.
    pace: Option<[f64; 2]>,
    others: &'static str,
}

/// Milliseconds.
const PACE: Option<[f64; 2]> = Some([23.0, 10.0]);

/// The others' figures are those of the project's outside yardsticks, measured with them on two equal cores.
const ROWS: [Row; 6] = [
    Row {
        number: "echo",
        codec: "PCMU",
        calls: 200,
        share: 12.0,
        memory: None,
        pace: None,
        others: "Asterisk 22.6 %; rtpengine, which only relays, 12.3 %",
    },
    Row {
        number: "echo",
        codec: "PCMU",
        calls: 400,
        share: 12.0,
        memory: None,
        pace: PACE,
        others: "Asterisk 43.5 and 54 ms",
    },
    Row {
        number: "music",
        codec: "PCMU",
        calls: 200,
        share: 16.0,
        memory: None,
        pace: None,
        others: "Asterisk 32.8 %",
    },
    Row {
        number: "music",
        codec: "PCMU",
        calls: 400,
        share: 16.0,
        memory: None,
        pace: PACE,
        others: "Asterisk 43.5 and 54 ms",
    },
    Row { number: "milo", codec: "PCMU", calls: 50, share: 70.0, memory: Some(1.2), pace: None, others: "" },
    Row { number: "milo", codec: "opus", calls: 50, share: 120.0, memory: Some(1.2), pace: None, others: "" },
];

impl Row {
    /// What of it does not hold.
    fn missed(&self, measured: &Measured) -> Vec<&'static str> {
        let over = |value: Option<f64>, most: Option<f64>| value.zip(most).is_some_and(|(value, most)| value > most);
        let checks = [
            ("processor", over(Some(measured.share), Some(self.share))),
            ("memory", over(Some(measured.memory), self.memory)),
            ("interarrival", over(measured.apart[1], self.pace.map(|[apart, _]| apart))),
            ("lateness", over(measured.lateness, self.pace.map(|[_, lateness]| lateness))),
            ("loss", measured.lost > 0 || measured.silent > 0),
        ];
        checks.iter().filter(|(_, missed)| *missed).map(|(what, _)| *what).collect()
    }
}

pub(super) async fn run(arguments: &Arguments) -> Result<()> {
    println!(
        "| calls | processor of 100 | memory of one | between packets, p99 | after the pace, p999 | lost | others |"
    );
    println!("|---|---|---|---|---|---|---|");
    let held = |most: Option<f64>, unit| most.map_or(String::new(), |most| format!(" (to be held: {most}{unit})"));
    let figure = |ms: Option<f64>| ms.map_or("-".into(), |ms| format!("{ms:.1} ms"));
    let mut missed = Vec::new();
    for row in &ROWS {
        let wanted = media::Arguments {
            calls: row.calls,
            number: row.number.into(),
            codec: row.codec.into(),
            seconds: arguments.seconds,
            tx_loss: 0,
            pin: true,
        };
        let measured = media::measured(&wanted).await?;
        println!(
            "| {} to `{}`, {} | {:.1} %{} | {:.2} MB{} | {}{} | {}{} | {} of {} | {} |",
            row.calls,
            row.number,
            row.codec,
            measured.share,
            held(Some(row.share), " %"),
            measured.memory,
            held(row.memory, " MB"),
            figure(measured.apart[1]),
            held(row.pace.map(|[apart, _]| apart), " ms"),
            figure(measured.lateness),
            held(row.pace.map(|[_, lateness]| lateness), " ms"),
            measured.lost,
            measured.sent,
            row.others,
        );
        let name = format!("{} to {} over {}", row.calls, row.number, row.codec);
        missed.extend(row.missed(&measured).into_iter().map(|what| format!("{name}: {what}")));
    }
    ensure!(missed.is_empty(), "not held: {}", missed.join("; "));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_what_it_does_not_hold() {
        let good = || Measured {
            share: 11.0,
            memory: 0.1,
            apart: [Some(20.0), Some(21.0)],
            lateness: Some(3.0),
            lost: 0,
            sent: 100,
            silent: 0,
        };
        let row = &ROWS[1];
        assert!(row.missed(&good()).is_empty());
        assert_eq!(row.missed(&Measured { share: 12.1, lost: 1, ..good() }), ["processor", "loss"]);
        assert_eq!(row.missed(&Measured { apart: [None, Some(24.0)], lateness: Some(11.0), ..good() }).len(), 2);
        assert!(
            ROWS[0].missed(&Measured { lateness: Some(11.0), ..good() }).is_empty(),
            "only 400 calls are held to it"
        );
    }
}
