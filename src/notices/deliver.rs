//! The task that tells one target what waits for it: several calls' events at once, those of one call one after the other.

use std::{collections::HashSet, sync::Arc, sync::atomic::Ordering, time::Duration};

use ring::rand::{SystemRandom, generate};
use tokio::{
    select,
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use super::Target;
use crate::{
    store::{Delivery, Key, Stamp, Store, StoreError},
    webhook::Question,
};

/// Tries at once.
const AT_ONCE: usize = 8;
/// What may wait for a target. Beyond it, the target is not told of what happens.
const MOST: i64 = 20_000;
/// The longest pause between two tries.
const LONGEST: Duration = Duration::from_secs(3_600);
/// How often it looks, also when nobody says that there is something.
const LOOK: Duration = Duration::from_secs(30);
/// Before a database that does not answer is asked again.
const AWAY: Duration = Duration::from_secs(2);

pub(super) struct Post {
    pub(super) target: Arc<Target>,
    pub(super) store: Store,
    pub(super) node: String,
}

impl Post {
    /// `written` changes when there may be something new.
    pub(super) async fn run(self, mut written: watch::Receiver<u64>) {
        let mut trying = JoinSet::new();
        let mut busy = HashSet::new();
        loop {
            written.mark_unchanged();
            let next = match self.look(&mut trying, &mut busy).await {
                Ok(next) => next,
                Err(error) => {
                    tracing::debug!(target = self.target.name, %error, "what a webhook is to be told cannot be read");
                    AWAY
                }
            };
            select! {
                Some(done) = trying.join_next(), if !trying.is_empty() => if let Ok(id) = done {
                    busy.remove(&id);
                },
                more = written.changed() => if more.is_err() {
                    return;
                },
                () = sleep_until(Instant::now() + next) => {}
            }
        }
    }

    /// Begins with what is due, as far as there is room. Returns how long nothing else will be.
    async fn look(&self, trying: &mut JoinSet<Key>, busy: &mut HashSet<Key>) -> Result<Duration, StoreError> {
        let Self { target, store, node } = self;
        let now = Stamp::now();
        let count = store.deliveries(node, &target.name).await?;
        target.seen.waiting.store(count.waiting, Ordering::Relaxed);
        target.seen.dead.store(count.dead, Ordering::Relaxed);
        target.listener.set_full(count.waiting >= MOST);
        let mut next = LOOK;
        for delivery in store.next_deliveries(node, &target.name, 2 * AT_ONCE).await? {
            if busy.contains(&delivery.id) {
                continue;
            }
            let wait = delivery.due.millis().saturating_sub(now.millis());
            if let Ok(wait @ 1..) = u64::try_from(wait) {
                next = next.min(Duration::from_millis(wait));
            } else if busy.len() < AT_ONCE {
                busy.insert(delivery.id);
                trying.spawn(attempt(Arc::clone(target), store.clone(), delivery));
            }
        }
        Ok(next)
    }
}

/// Tells it once, and notes down what came of it.
async fn attempt(target: Arc<Target>, store: Store, delivery: Delivery) -> Key {
    let Delivery { id, body, attempts, .. } = delivery;
    let timestamp = Stamp::now().millis() / 1_000;
    let headers = Vec::new();
    let question = Question { url: &target.uri, delivery: id.to_string(), timestamp, body, headers };
    let told = target.client.tell(&question, Duration::from_secs(target.settings.timeout_s)).await;
    let now = Stamp::now();
    target.note(now, told.as_ref().err().map(|why| why.why.as_str()));
    let Err(why) = told else {
        while let Err(error) = store.delivered(id).await {
            unnoted(&error).await;
        }
        return id;
    };
    let attempts = attempts.saturating_add(1);
    let is_last = u32::try_from(attempts).unwrap_or_default() >= target.settings.attempts;
    let dead = is_last.then_some(now);
    if is_last {
        target.seen.buried.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(target = target.name, delivery = %id, why = why.why, "a webhook was not told of an event, and is tried no more");
    }
    let pause = pause(target.settings.backoff_s, attempts, random());
    let due = Stamp::from_millis(now.millis().saturating_add(i64::try_from(pause.as_millis()).unwrap_or(i64::MAX)));
    while let Err(error) = store.undelivered(id, (attempts, &why.why), (due, dead)).await {
        unnoted(&error).await;
    }
    id
}

/// The database is away: what is not noted down is not tried again before it is.
async fn unnoted(error: &StoreError) {
    tracing::debug!(%error, "what came of telling a webhook cannot be noted down yet");
    sleep(AWAY).await;
}

/// After so many tries: twice as long each time, a quarter more or less, so that what failed together does not come back
/// together.
fn pause(first_s: u64, attempts: i32, random: u8) -> Duration {
    let doubled = u32::try_from(attempts - 1).unwrap_or_default().min(16);
    let whole = Duration::from_secs(first_s).saturating_mul(1 << doubled).min(LONGEST);
    whole.mul_f64(0.75 + f64::from(random) / 510.0)
}

fn random() -> u8 {
    generate::<[u8; 1]>(&SystemRandom::new()).map_or(128, |random| random.expose()[0])
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use sqlx::{ConnectOptions, Executor, sqlite::SqliteConnectOptions};
    use tokio::time::timeout;

    use super::*;
    use crate::{
        config::{CallEvent, SecretUrl, WebhookTarget},
        notices::Notices,
        store::{Ending, HangupBy, Listener, LogWriter, NewCall},
    };

    /// A database in a folder of its own.
    struct House {
        store: Store,
        folder: PathBuf,
    }

    impl House {
        async fn new() -> Self {
            let folder = std::env::temp_dir().join(format!("milo-notices-{}", Key::new()));
            let store = Store::open(&SecretUrl::new(format!("sqlite:{}/milo.db", folder.display()))).await.unwrap();
            Self { store, folder }
        }

        /// A log whose calls these are told of.
        fn log(&self, listeners: Vec<Arc<Listener>>) -> LogWriter {
            LogWriter::start(self.store.clone(), "n", None).0.telling(listeners)
        }
    }

    impl Drop for House {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.folder).ok();
        }
    }

    const SOON: Duration = Duration::from_secs(20);

    fn new_call() -> NewCall {
        NewCall {
            call_id: "c".into(),
            incoming: true,
            from: "0341234567".into(),
            to: "milo".into(),
            dialplan: None,
            language: None,
            started: Stamp::from_millis(1_000),
        }
    }

    fn new_ending() -> Ending {
        let (reason, by) = ("BYE".into(), HangupBy::Caller);
        Ending { at: Stamp::from_millis(2_000), reason, by, language: None, quality: None, outcome: None }
    }

    #[tokio::test]
    async fn at_the_start_what_nobody_takes_any_more_is_given_up_and_what_is_old_is_deleted() {
        let house = House::new().await;
        let log = house.log(vec![Arc::new(Listener::new("gone".into(), CallEvent::ALL.into()))]);
        let call = log.begin(new_call());
        assert!(log.flush(SOON).await);
        let began = house.store.next_deliveries("n", "gone", 1).await.unwrap().remove(0);
        let long_ago = Stamp::from_millis(1_000);
        house.store.undelivered(began.id, (14, "it answered with 503"), (long_ago, Some(long_ago))).await.unwrap();
        call.end(new_ending());
        assert!(log.flush(SOON).await);
        let count = async || house.store.deliveries("n", "gone").await.unwrap();
        assert_eq!((count().await.waiting, count().await.dead), (1, 1));

        let _tasks = Notices::default().start(&house.store, "n", &log).await.unwrap();
        assert_eq!(count().await.waiting, 0, "it is none of [[webhooks]] any more");
        let swept = async {
            while house.store.dead_letter(began.id).await.unwrap().is_some() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(SOON, swept).await.expect("the old letter is still there");
        assert_eq!(count().await.dead, 1, "the other one was given up just now");
    }

    #[tokio::test]
    async fn for_whom_too_much_waits_is_told_of_nothing_new() {
        let house = House::new().await;
        let url = SecretUrl::new("http://127.0.0.1:9/");
        let target = WebhookTarget { name: Some("crm".into()), url, ..WebhookTarget::default() };
        let notices = Notices::new(&[target]).unwrap();
        let log = house.log(notices.listeners());
        let call = log.begin(new_call());
        assert!(log.flush(SOON).await);
        let file = house.folder.join("milo.db");
        let mut database = SqliteConnectOptions::new().filename(file).connect().await.unwrap();
        let many = "INSERT INTO webhook_deliveries (id, node, target, call, kind, at, body, due)
             WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 19999)
             SELECT printf('01890000-0000-7000-8000-%012x', n), node, target, call, kind, at, body, 9000000000000
             FROM webhook_deliveries, numbers";
        database.execute(many).await.unwrap();

        let _tasks = notices.start(&house.store, "n", &log).await.unwrap();
        let looked = async {
            while notices.report()[0].waiting < MOST {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(SOON, looked).await.expect("nobody has looked");
        call.end(new_ending());
        let report = notices.report().remove(0);
        assert_eq!((report.waiting, report.missed), (MOST, 1));
    }

    #[test]
    fn pauses_double_up_to_an_hour_and_are_spread() {
        let seconds = |attempts, random| pause(5, attempts, random).as_secs_f64();
        assert_eq!((seconds(1, 0), seconds(1, 255)), (3.75, 6.25));
        assert_eq!((seconds(3, 0), seconds(3, 255)), (15.0, 25.0));
        assert_eq!((seconds(14, 0), seconds(1_000, 255)), (2_700.0, 4_500.0));
        // The tries that are made unless somebody says otherwise take hours.
        let hours = (1..14).map(|attempts| seconds(attempts, 128)).sum::<f64>() / 3_600.0;
        assert!((3.0..8.0).contains(&hours), "{hours}");
    }
}
