//! What can go wrong with the database, as sentences that name the thing and the mend, and no password.

use std::io;

use sqlx::migrate::MigrateError;

/// The variant says what its caller can do.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The data folder: mend it and start again.
    #[error("{0}")]
    Folder(String),
    /// The database cannot be opened: mend what the sentence names and start again.
    #[error("the call log {place} cannot be opened: {reason}")]
    Open {
        /// The address, without the password.
        place: String,
        /// What is wrong and how to mend it.
        reason: String,
    },
    /// A query failed; the same one may succeed later.
    #[error("the call log {place} failed while {doing}: {reason}")]
    Query {
        /// The address, without the password.
        place: String,
        /// "listing calls"
        doing: &'static str,
        /// What is wrong.
        reason: String,
    },
}

/// SQLite's primary result codes (the low byte of the extended ones, <https://sqlite.org/rescode.html>) that a person can mend.
fn sqlite(code: i32) -> Option<&'static str> {
    Some(match code & 0xff {
        5 | 6 => "another program holds it locked: close that program",
        8 => "it may not be written by this user: change its owner or mode, or its folder's",
        10 => "the disk reports an error when it is read or written: check the disk and its free space",
        11 => "the file is damaged: restore it from a backup, or move it away to begin a new one",
        13 => "the disk is full: make room",
        14 => "the file cannot be opened or made: check that its folder exists and may be written by this user",
        26 => "the file is not an SQLite database: move it away, or name another file",
        _ => return None,
    })
}

/// Postgres' SQLSTATE codes that a person can mend.
fn postgres(code: &str) -> Option<&'static str> {
    Some(match code {
        "28P01" | "28000" => "the user or the password is refused: check both in DATABASE_URL",
        "3D000" => "that database does not exist: make it with createdb",
        "42501" => "this user may not do that: grant it the right to create tables and to write",
        "53100" => "the server's disk is full: make room",
        "53300" => "the server has no connection left: raise its max_connections",
        "57P03" => "the server is starting up or shutting down: try again in a moment",
        _ => return None,
    })
}

/// One sentence about a database error, with the mend where there is one.
pub(super) fn reason(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(database) => {
            let code = database.code().unwrap_or_default();
            let known = match database.try_downcast_ref::<sqlx::sqlite::SqliteError>() {
                Some(_) => code.parse().ok().and_then(sqlite),
                None => postgres(&code),
            };
            known.map_or_else(|| format!("{} ({code})", database.message()), |known| format!("{known} ({code})"))
        }
        sqlx::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            "nothing listens there: start the database server, or correct DATABASE_URL".into()
        }
        sqlx::Error::Io(error) => format!("the connection broke: {error}"),
        sqlx::Error::PoolTimedOut => "it does not answer: check that the server runs and can be reached".into(),
        sqlx::Error::PoolClosed => "it is being closed".into(),
        sqlx::Error::Tls(error) => format!("TLS failed: {error}"),
        sqlx::Error::Configuration(error) => format!("the address is not valid: {error}"),
        other => other.to_string(),
    }
}

/// Whether a server does not answer, or not yet, and may in a moment.
pub(super) fn is_away(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut => true,
        // "cannot_connect_now": it is starting up.
        sqlx::Error::Database(database) => database.code().is_some_and(|code| code == "57P03"),
        _ => false,
    }
}

/// One sentence about a failed migration.
pub(super) fn migration(error: &MigrateError) -> String {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => reason(error),
        MigrateError::VersionMissing(version) => format!(
            "it was made by a newer Milo (its schema has step {version}, which this one does not know): start that newer \
             version, or give this one another database"
        ),
        MigrateError::VersionMismatch(version) => format!(
            "its schema step {version} differs from the one this Milo was built with: start the version that made it, or \
             give this one another database"
        ),
        other => other.to_string(),
    }
}

/// Whether a row itself is at fault, so that writing it again can never succeed.
pub(super) fn is_hopeless(error: &sqlx::Error) -> bool {
    use sqlx::error::ErrorKind::{CheckViolation, ForeignKeyViolation, NotNullViolation, UniqueViolation};
    match error {
        sqlx::Error::Encode(_) => true,
        sqlx::Error::Database(database) => {
            matches!(database.kind(), CheckViolation | ForeignKeyViolation | NotNullViolation | UniqueViolation)
                // Class 22 is "data exception".
                || (database.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().is_some()
                    && database.code().is_some_and(|code| code.starts_with("22")))
        }
        _ => false,
    }
}
