//! The same scenarios on SQLite and on a real Postgres.

use std::{path::PathBuf, time::Duration};

use sqlx::{ConnectOptions, Connection, Executor, postgres::PgConnectOptions};

use super::*;
use crate::config::SecretUrl;

/// Runs each scenario on both databases.
macro_rules! on_both {
    ($($scenario:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $scenario() {
                let folder = crate::store::tests::Folder::new();
                super::$scenario(folder.url()).await;
            })*
        }
        mod postgres {
            $(#[tokio::test]
            async fn $scenario() {
                super::$scenario(crate::store::tests::postgres_url().await).await;
            })*
        }
    };
}

// Below the macro that they use.
mod analyses;
mod batches;
mod campaigns;
mod deliveries;
mod faults;
mod feedbacks;
mod journals;
mod memories;
mod requests;
mod rows;
mod searching;

/// A folder that goes away with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("milo-store-{}", Key::new()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn url(&self) -> SecretUrl {
        SecretUrl::new(format!("sqlite:{}/milo.db", self.0.display()))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

async fn postgres_url() -> SecretUrl {
    SecretUrl::new(
        postgres_cluster::new_database(|url, statement| async move {
            // The server may accept connections a moment before it serves them.
            for attempt in 0.. {
                match url.parse::<PgConnectOptions>().unwrap().connect().await {
                    Ok(mut connection) => {
                        connection.execute(sqlx::AssertSqlSafe(statement)).await.unwrap();
                        return connection.close().await.unwrap();
                    }
                    Err(error) if attempt == 100 => panic!("{error}"),
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        })
        .await,
    )
}

const SOON: Duration = Duration::from_secs(20);

fn new_call(started: i64) -> NewCall {
    NewCall {
        call_id: "a84b4c76e66710@pc33".into(),
        incoming: true,
        from: "0341234567".into(),
        to: "milo".into(),
        dialplan: Some("assistant".into()),
        language: Some("mg".into()),
        started: Stamp::from_millis(started),
    }
}

fn new_ending(at: i64) -> Ending {
    Ending {
        at: Stamp::from_millis(at),
        reason: "over".into(),
        by: HangupBy::Caller,
        language: None,
        quality: None,
        outcome: None,
    }
}

fn new_turn(at: i64) -> NewTurn {
    NewTurn {
        at: Stamp::from_millis(at),
        heard: Some("Firy ny ora?".into()),
        said: Some("Amin'ny valo ora.".into()),
        said_heard: Some("Amin'ny valo".into()),
        said_by: Some("reception".into()),
        heard_from: Some("called".into()),
        said_in: Some("fr".into()),
        interrupted: true,
        confidence: Some(0.875),
        language: Some("mg".into()),
        mode: Some("cloud".into()),
        stages: Stages { stt_ms: Some(120.5), total_ms: Some(640.25), ..Stages::default() },
        recording_at_ms: Places { heard_from: Some(1_200), heard_to: Some(2_100), said_from: None },
    }
}
