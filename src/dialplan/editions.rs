//! The plans in force. They are read anew when a file changes, on SIGHUP and when the API asks: what is right becomes the next
//! edition, what is wrong is told and changes nothing. A call keeps the edition it began with.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{
    select,
    signal::unix::Signal,
    sync::{mpsc, oneshot, watch},
    task::{JoinHandle, spawn_blocking},
    time::{MissedTickBehavior, interval},
};

use super::{Dialplans, Fault, Faults, Surroundings};
use crate::{agent::SetPhrases, config, store::Stamp};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(2);
/// Files that are looked at after a fault, and the folders below the first in which they lie.
const FILES: usize = 10_000;
const DEEPEST: usize = 8;
/// Wishes to reload that wait; more are told to come back.
const WISHES: usize = 4;

/// One reading of the files, and what was made of it.
#[derive(Debug)]
pub struct Edition {
    /// 1 at the start, and one more each time.
    pub number: u64,
    /// When it came into force.
    pub since: Stamp,
    /// Plans and personas.
    pub dialplans: Dialplans,
    /// The personas' sentences as sound.
    pub phrases: SetPhrases,
}

/// Where the files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A folder.
    Folder(PathBuf),
    /// The ones that ship, carried in the binary.
    Shipped,
}

/// Name, time of the last change and length of each file.
type Prints = Vec<(PathBuf, Option<SystemTime>, u64)>;

impl Origin {
    /// The configured folder, a `dialplans/` with plans in the working folder, or what ships.
    pub fn of(dialplans: &config::Dialplans) -> Self {
        let beside = Path::new("dialplans");
        match &dialplans.path {
            Some(path) => Self::Folder(path.clone()),
            None if beside.join("default.toml").is_file() => Self::Folder(beside.into()),
            None => Self::Shipped,
        }
    }

    /// Reads them.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub fn read(&self, around: &Surroundings) -> Result<Dialplans, Faults> {
        match self {
            Self::Folder(path) => Dialplans::read(path, around),
            Self::Shipped => Dialplans::shipped(),
        }
    }

    /// What a change of any file changes: of those with plans, personas, tools, wordings and knowledge; after a fault, of every file, since what was
    /// missing or could not be played may have come.
    fn prints(&self, faulty: bool) -> Prints {
        let Self::Folder(folder) = self else { return Vec::new() };
        let mut prints = Prints::new();
        if faulty {
            every(folder, DEEPEST, &mut prints);
            prints.sort();
            return prints;
        }
        let folders = [folder.clone(), folder.join("personas"), folder.join("tools"), folder.join("answering")];
        for entry in folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten() {
            if let Ok(entry) = entry
                && entry.path().extension().is_some_and(|ending| ending == "toml")
                && let Ok(about) = fs::metadata(entry.path())
            {
                prints.push((entry.path(), about.modified().ok(), about.len()));
            }
        }
        every(&folder.join("knowledge"), 1, &mut prints);
        prints.sort();
        prints
    }
}

/// The prints of every file of a folder and those below it.
fn every(folder: &Path, deepest: usize, prints: &mut Prints) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(about) = fs::metadata(entry.path()) else { continue };
        if about.is_dir() && deepest > 0 {
            every(&entry.path(), deepest - 1, prints);
        } else if prints.len() < FILES {
            prints.push((entry.path(), about.modified().ok(), about.len()));
        }
    }
}

/// What is in force, and what was wrong with the files when they were last read.
#[derive(Clone, Debug)]
struct Shelf {
    edition: Arc<Edition>,
    faults: Arc<[Fault]>,
}

type Wish = oneshot::Sender<Result<Arc<Edition>, Faults>>;

/// The editions, for whoever needs the one in force. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Editions {
    shelf: watch::Receiver<Shelf>,
    wishes: mpsc::Sender<Wish>,
}

impl Editions {
    /// Begins with these plans, and the task that reads the next ones. `make` makes the sounds that plans need; `hangup` is
    /// SIGHUP. The task ends after the last handle is gone.
    ///
    /// # Errors
    /// What `make` says of the first plans.
    pub async fn start<M, F>(
        (origin, around): (Origin, Surroundings),
        first: Dialplans,
        hangup: Option<Signal>,
        make: M,
    ) -> Result<(Self, JoinHandle<()>), Faults>
    where
        M: Fn(Dialplans) -> F + Send + 'static,
        F: Future<Output = Result<(Dialplans, SetPhrases), Fault>> + Send + 'static,
    {
        let seen = origin.prints(false);
        let (dialplans, phrases) = make(first).await.map_err(|fault| Faults(vec![fault]))?;
        let edition = Arc::new(Edition { number: 1, since: Stamp::now(), dialplans, phrases });
        let (shelf, current) = watch::channel(Shelf { edition, faults: Arc::default() });
        let (wishes, waiting) = mpsc::channel(WISHES);
        let task = tokio::spawn(Keeper { origin, around, seen, faulty: false, shelf, hangup, make }.keep(waiting));
        Ok((Self { shelf: current, wishes }, task))
    }

    /// The edition in force.
    pub fn current(&self) -> Arc<Edition> {
        Arc::clone(&self.shelf.borrow().edition)
    }

    /// What was wrong with the files when they were last read; the edition in force is older than that.
    pub fn faults(&self) -> Arc<[Fault]> {
        Arc::clone(&self.shelf.borrow().faults)
    }

    /// Reads the files now. `None` when too many want that at once.
    pub async fn reload(&self) -> Option<Result<Arc<Edition>, Faults>> {
        let (wish, fulfilled) = oneshot::channel();
        self.wishes.try_send(wish).ok()?;
        fulfilled.await.ok()
    }
}

/// The task.
struct Keeper<M> {
    origin: Origin,
    around: Surroundings,
    seen: Prints,
    /// The files were wrong when they were last read.
    faulty: bool,
    shelf: watch::Sender<Shelf>,
    hangup: Option<Signal>,
    make: M,
}

impl<M, F> Keeper<M>
where
    M: Fn(Dialplans) -> F + Send + 'static,
    F: Future<Output = Result<(Dialplans, SetPhrases), Fault>> + Send + 'static,
{
    async fn keep(mut self, mut wishes: mpsc::Receiver<Wish>) {
        let mut clock = interval(LOOK);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let wish = select! {
                wish = wishes.recv() => match wish {
                    Some(wish) => Some(wish),
                    None => return,
                },
                () = hung_up(&mut self.hangup) => None,
                _ = clock.tick() => {
                    if look(&self.origin, self.faulty).await == self.seen {
                        continue;
                    }
                    None
                }
            };
            let read = self.read().await;
            if let Some(wish) = wish {
                // Whoever asked may have gone.
                wish.send(read).ok();
            }
        }
    }

    /// Reads the files and puts what is right into force.
    async fn read(&mut self) -> Result<Arc<Edition>, Faults> {
        // Taken first: a change while they are read is seen next time.
        let before = [look(&self.origin, false).await, look(&self.origin, true).await];
        let (origin, around) = (self.origin.clone(), self.around.clone());
        let read = spawn_blocking(move || origin.read(&around)).await.unwrap_or_else(|_| Err(Faults::default()));
        let made = match read {
            Ok(dialplans) => (self.make)(dialplans).await.map_err(|fault| Faults(vec![fault])),
            Err(faults) => Err(faults),
        };
        self.faulty = made.is_err();
        let [right, wrong] = before;
        self.seen = if self.faulty { wrong } else { right };
        let old = Arc::clone(&self.shelf.borrow().edition);
        match made {
            Ok((dialplans, phrases)) => {
                let number = old.number + 1;
                let edition = Arc::new(Edition { number, since: Stamp::now(), dialplans, phrases });
                tracing::info!(
                    edition = number,
                    plans = edition.dialplans.plans().len(),
                    "the dialplans were read anew"
                );
                self.shelf.send_replace(Shelf { edition: Arc::clone(&edition), faults: Arc::default() });
                Ok(edition)
            }
            Err(faults) => {
                for fault in &faults.0 {
                    tracing::error!(%fault, edition = old.number, "the dialplans are wrong; the ones before stay in force");
                }
                self.shelf.send_replace(Shelf { edition: old, faults: faults.0.clone().into() });
                Err(faults)
            }
        }
    }
}

async fn look(origin: &Origin, faulty: bool) -> Prints {
    let origin = origin.clone();
    spawn_blocking(move || origin.prints(faulty)).await.unwrap_or_default()
}

async fn hung_up(signal: &mut Option<Signal>) {
    if let Some(signal) = signal
        && signal.recv().await.is_some()
    {
        return;
    }
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "[[plan]]\nname = 'NAME'\nnumber = '1'\nlanguage = 'mg'\nactions = [{ answer = {} }]\n";

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("milo-editions-{name}-{}", std::process::id()));
        fs::remove_dir_all(&folder).ok();
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join("a.toml"), GOOD.replace("NAME", "first")).expect("written");
        folder
    }

    async fn start(folder: &Path) -> Editions {
        let origin = Origin::Folder(folder.into());
        let around = Surroundings::default();
        let first = origin.read(&around).expect("plans");
        let make = |dialplans| async { Ok((dialplans, SetPhrases::default())) };
        Editions::start((origin, around), first, None, make).await.expect("an edition").0
    }

    fn name(edition: &Edition) -> &str {
        &edition.dialplans.plans()[0].name
    }

    #[tokio::test]
    async fn what_is_wrong_is_told_and_changes_nothing() {
        let folder = folder("wrong");
        let editions = start(&folder).await;
        let begun = editions.current();
        fs::write(folder.join("a.toml"), "[[plan]]\nname = 'x'\n").expect("written");
        let Some(Err(Faults(faults))) = editions.reload().await else { panic!("a fault") };
        assert_eq!(faults[0].file, folder.join("a.toml"));
        assert_eq!((&*editions.faults(), editions.current().number), (faults.as_slice(), 1));
        fs::write(folder.join("a.toml"), GOOD.replace("NAME", "second")).expect("written");
        let next = editions.reload().await.expect("a place").expect("right");
        // The keeper itself may have looked in between, and made an edition of it.
        assert!(next.number > begun.number, "{}", next.number);
        assert_eq!((name(&next), name(&editions.current())), ("second", "second"));
        assert!(editions.faults().is_empty());
        assert_eq!(name(&begun), "first", "a call keeps the edition it began with");
        fs::remove_dir_all(folder).ok();
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_changes_is_seen() {
        let folder = folder("seen");
        let editions = start(&folder).await;
        tokio::time::sleep(LOOK * 3).await;
        assert_eq!(editions.current().number, 1, "nothing changed");
        fs::write(folder.join("b.toml"), GOOD.replace("NAME", "beside")).expect("written");
        let mut shelf = editions.shelf.clone();
        shelf.mark_unchanged();
        tokio::time::timeout(LOOK * 2, shelf.changed()).await.expect("within two looks").expect("a keeper");
        assert_eq!((editions.current().number, editions.current().dialplans.plans().len()), (2, 2));
        fs::remove_dir_all(folder).ok();
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_wrong_is_tried_again_when_what_was_missing_is_there() {
        let folder = folder("again");
        let editions = start(&folder).await;
        let named =
            GOOD.replace("NAME", "first").replace("{ answer = {} }", "{ answer = {} }, { play = 'sounds/a.wav' }");
        fs::write(folder.join("a.toml"), named).expect("written");
        let Some(Err(Faults(faults))) = editions.reload().await else { panic!("a fault") };
        assert!(faults[0].line == Some(5) && faults[0].fault.contains("play: \"sounds/a.wav\""), "{faults:?}");
        fs::create_dir(folder.join("sounds")).expect("a folder");
        let sound = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/recordings/mg_hours.wav");
        fs::copy(sound, folder.join("sounds/a.wav")).expect("copied");
        let mut shelf = editions.shelf.clone();
        // A copy that is not whole yet is another fault.
        let mended = shelf.wait_for(|shelf| shelf.faults.is_empty());
        assert!(tokio::time::timeout(LOOK * 5, mended).await.is_ok_and(|mended| mended.is_ok()), "tried again");
        assert_eq!(editions.current().number, 2);
        fs::remove_dir_all(folder).ok();
    }
}
