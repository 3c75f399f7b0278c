//! The thread that writes all recordings: one file each, in the order in which pieces come.

use std::{
    collections::HashMap,
    fs::{DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::Path,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::Duration,
};

use audiopus::Channels;

use super::{Begin, Format, Order, Outcome, Phase, Piece, Shared, wav::Wav};
use crate::{FRAME_MS, FRAME_SAMPLES, SAMPLE_RATE, ogg_opus::OggOpus};

/// How often recordings are looked for that nobody told the end of.
const SWEEP: Duration = Duration::from_millis(500);
/// Silence of a longer gap is not written out: no call waits so long for its leg.
const LONGEST_GAP: u32 = 3600 * 1000 / FRAME_MS;

/// Writes until nobody can give an order any more.
pub(super) fn run(orders: &Receiver<Order>) {
    let mut open: HashMap<usize, Open> = HashMap::new();
    loop {
        match orders.recv_timeout(SWEEP) {
            Ok(order) => obey(order, &mut open),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        // What is over now has handed everything over before: finished once nothing waits any more.
        let over: Vec<usize> = open.iter().filter(|(_, open)| open.is_over()).map(|(name, _)| *name).collect();
        match orders.try_recv() {
            Ok(order) => obey(order, &mut open),
            Err(_) => over.iter().filter_map(|name| open.remove(name)).for_each(Open::finish),
        }
    }
    open.into_values().for_each(Open::finish);
}

fn obey(order: Order, open: &mut HashMap<usize, Open>) {
    match order {
        Order::Begin(begin) => {
            open.extend(Open::begin(begin).map(|recording| (recording.shared.name(), recording)));
        }
        Order::Write(shared, piece) => {
            let name = shared.name();
            let Some(recording) = open.get_mut(&name) else { return };
            if let Err(error) = recording.write(&piece) {
                open.remove(&name).into_iter().for_each(|recording| recording.end(Some(error.to_string())));
            }
        }
        Order::Close(shared) => open.remove(&shared.name()).into_iter().for_each(Open::finish),
    }
}

/// A recording that is being written.
struct Open {
    shared: Arc<Shared>,
    file: Kind,
    /// Samples of one side.
    samples: u64,
    told: Told,
}

/// Whom its end is told to.
struct Told {
    outcome: tokio::sync::watch::Sender<Option<Outcome>>,
    ended: super::Ended,
    _counted: super::Counted,
}

enum Kind {
    Ogg(Sink, Box<OggOpus>),
    Wav(Wav),
}

impl Open {
    fn begin(begin: Begin) -> Option<Self> {
        let Begin { shared, path, format, outcome, ended, counted } = begin;
        let told = Told { outcome, ended, _counted: counted };
        match Kind::create(&path, format) {
            Ok(file) => Some(Self { shared, file, samples: 0, told }),
            Err(error) => {
                told.end(Outcome { ms: 0, gap_ms: 0, fault: Some(format!("cannot make the file: {error}")) });
                None
            }
        }
    }

    /// The leg is done with it, or it is gone without a word: then nobody but the writer knows of it.
    fn is_over(&self) -> bool {
        self.shared.phase() == Phase::Closed || Arc::strong_count(&self.shared) == 1
    }

    fn write(&mut self, piece: &Piece) -> io::Result<()> {
        let silence = [0; 2 * FRAME_SAMPLES];
        for _ in 0..piece.gap.min(LONGEST_GAP) {
            self.put(&silence)?;
        }
        self.put(&piece.samples)
    }

    fn put(&mut self, samples: &[i16]) -> io::Result<()> {
        match &mut self.file {
            Kind::Ogg(sink, file) => sink.add(&file.write(samples)?)?,
            Kind::Wav(file) => file.write(samples)?,
        }
        self.samples += samples.len() as u64 / 2;
        Ok(())
    }

    fn finish(mut self) {
        let finished = match &mut self.file {
            Kind::Ogg(sink, file) => file.finish().and_then(|pages| sink.add(&pages)),
            Kind::Wav(file) => file.finish(),
        };
        self.end(finished.err().map(|error| error.to_string()));
    }

    fn end(self, fault: Option<String>) {
        let ms = self.samples * 1000 / u64::from(SAMPLE_RATE);
        self.told.end(Outcome { ms, gap_ms: self.shared.gap_ms(), fault });
    }
}

impl Told {
    fn end(self, outcome: Outcome) {
        (self.ended)(&outcome);
        self.outcome.send_replace(Some(outcome));
    }
}

impl Kind {
    fn create(path: &Path, format: Format) -> io::Result<Self> {
        // What callers said is for Milo's own user alone.
        if let Some(folder) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        let mut sink = Sink { file, good: 0 };
        Ok(match format {
            Format::Ogg => {
                let mut file = OggOpus::new(Channels::Stereo, "left: the caller; right: Milo")?;
                // The headers are there as soon as the file is.
                sink.add(&file.write(&[])?)?;
                Self::Ogg(sink, Box::new(file))
            }
            Format::Wav => Self::Wav(Wav::new(sink)?),
        })
    }
}

/// A file that only ever holds whole pages.
pub(super) struct Sink {
    file: File,
    good: u64,
}

impl Sink {
    /// Adds bytes at the end: all of them, or none.
    pub(super) fn add(&mut self, bytes: &[u8]) -> io::Result<()> {
        let added = (&self.file).write_all(bytes);
        match added {
            Ok(()) => self.good += bytes.len() as u64,
            Err(_) => drop(self.file.set_len(self.good)),
        }
        added
    }

    /// Replaces bytes near the beginning.
    pub(super) fn patch(&mut self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, at)
    }

    /// Bytes in it.
    pub(super) fn length(&self) -> u64 {
        self.good
    }
}
