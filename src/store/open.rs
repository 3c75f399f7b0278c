//! Opening the database and bringing its schema up to date.

use std::{
    fs::{File, TryLockError, create_dir_all},
    path::Path,
    str::FromStr,
    time::Duration,
};

use sqlx::{
    ConnectOptions, Connection,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::time::{Instant, sleep, timeout};

use super::{
    Pool, Store, StoreError,
    error::{is_away, migration, reason},
};
use crate::config::SecretUrl;

static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");

/// How long a query waits for a connection.
const ACQUIRE: Duration = Duration::from_secs(5);
/// How long it is until a server that does not answer is asked again.
const AGAIN: Duration = Duration::from_millis(500);

impl Store {
    /// Opens the database of an address, making the SQLite file if there is none, and brings the schema up to date. On
    /// Postgres that happens under an advisory lock, so that many may start at once.
    ///
    /// # Errors
    /// [`StoreError::Open`], a sentence that says what to mend.
    pub async fn open(url: &SecretUrl) -> Result<Self, StoreError> {
        Self::open_within(url, Duration::ZERO).await
    }

    /// The same; a server that does not answer yet is asked again for so long.
    ///
    /// # Errors
    /// [`StoreError::Open`], a sentence that says what to mend.
    pub async fn open_within(url: &SecretUrl, patience: Duration) -> Result<Self, StoreError> {
        let place = url.masked();
        let pool = match url.reveal().split(':').next() {
            Some("sqlite") => sqlite(url).await.map(Pool::Sqlite),
            Some("postgres" | "postgresql") => postgres(url, patience).await.map(Pool::Postgres),
            _ => Err("its address begins neither with postgres:// nor with sqlite:".into()),
        };
        pool.map(|pool| Self { pool, place: place.clone() }).map_err(|reason| StoreError::Open { place, reason })
    }
}

async fn sqlite(url: &SecretUrl) -> Result<sqlx::SqlitePool, String> {
    let options = SqliteConnectOptions::from_str(url.reveal()).map_err(|error| reason(&error))?;
    let file = options.get_filename().to_owned();
    if url.reveal().contains(":memory:") || url.reveal().contains("mode=memory") {
        return Err("a database in memory forgets the call log: name a file".into());
    }
    if file.is_dir() {
        return Err("that is a folder: name a file in it".into());
    }
    if let Some(folder) = file.parent().filter(|folder| *folder != Path::new("")) {
        create_dir_all(folder).map_err(|error| {
            format!(
                "its folder {} cannot be made: {error}; set MILO_DATA_DIR to a folder that this user may write",
                folder.display()
            )
        })?;
    }
    let options = options
        .create_if_missing(true)
        .foreign_keys(true)
        // Readers and the one writer do not wait for each other; a commit survives the end of the process at once, and the
        // loss of power from the next checkpoint on.
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .busy_timeout(ACQUIRE)
        .disable_statement_logging();
    // Also while connecting: the change to a write-ahead log does not wait for another that does the same.
    let one_at_a_time = lock(file.parent().unwrap_or(Path::new(""))).await?;
    let pool = SqlitePoolOptions::new()
        .max_connections(4)
        .acquire_timeout(ACQUIRE)
        .connect_with(options)
        .await
        .map_err(|error| reason(&error))?;
    SQLITE.run(&pool).await.map_err(|error| migration(&error))?;
    drop(one_at_a_time);
    // SQLite opens what it may not write for reading only, without a word: ask for the right to write now.
    let mut connection = pool.acquire().await.map_err(|error| reason(&error))?;
    for statement in ["BEGIN IMMEDIATE", "ROLLBACK"] {
        sqlx::query(statement).execute(&mut *connection).await.map_err(|error| reason(&error))?;
    }
    Ok(pool)
}

/// SQLite has no advisory lock: whoever brings a schema up to date holds a lock on the folder.
async fn lock(folder: &Path) -> Result<File, String> {
    let folder = if folder == Path::new("") { Path::new(".") } else { folder };
    let held =
        File::open(folder).map_err(|error| format!("its folder {} cannot be read: {error}", folder.display()))?;
    let taken = async {
        while let Err(TryLockError::WouldBlock) = held.try_lock() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    // A file system without locks, or a lock that nobody gives back, must not keep Milo from starting.
    timeout(ACQUIRE, taken).await.ok();
    Ok(held)
}

async fn postgres(url: &SecretUrl, patience: Duration) -> Result<sqlx::PgPool, String> {
    let options = PgConnectOptions::from_str(url.reveal()).map_err(|error| reason(&error))?;
    let options = options
        .application_name("milo")
        // A time read back is the time written, whatever the server's zone; a stuck query gives its connection back.
        .options([("timezone", "UTC"), ("statement_timeout", "30000")])
        .disable_statement_logging();
    // A pool asks again until its patience ends, and then only says that time has passed: the first connection tells why.
    let late = Instant::now() + patience;
    let mut is_told = false;
    let first = loop {
        let first = timeout(ACQUIRE, options.connect()).await.unwrap_or(Err(sqlx::Error::PoolTimedOut));
        match first {
            Err(error) if is_away(&error) && Instant::now() < late => {
                if !is_told {
                    let (place, reason) = (url.masked(), reason(&error));
                    tracing::warn!(place, reason, "waiting for the database, for {} s at most", patience.as_secs());
                    is_told = true;
                }
                sleep(AGAIN).await;
            }
            first => break first,
        }
    };
    first.map_err(|error| reason(&error))?.close().await.ok();
    // An index over a long log takes as long as it takes, and so does waiting for another Milo that makes it.
    let patient = options.clone().options([("statement_timeout", "0")]);
    let migrating = PgPoolOptions::new().max_connections(1).acquire_timeout(ACQUIRE).connect_lazy_with(patient);
    POSTGRES.run(&migrating).await.map_err(|error| migration(&error))?;
    migrating.close().await;
    Ok(PgPoolOptions::new().max_connections(8).acquire_timeout(ACQUIRE).connect_lazy_with(options))
}
