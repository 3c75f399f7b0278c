//! `milo keys`: the keys of the API from the command line, whether or not Milo runs.

use anyhow::{Result, bail};

use super::{Keys, NewKey, Scope, Scopes, Tier};
use crate::{
    config::Config,
    store::{ApiKeyRow, Key, NewDeed, Stamp, Store},
};

/// Milliseconds.
const HOUR: i64 = 3_600_000;
/// What stands for this program in the table of what was done.
const WHO: &str = "command line";

/// What is done with keys.
#[derive(clap::Subcommand)]
pub enum What {
    /// Make a key and print it; it is shown this once.
    Create {
        /// What people call it.
        #[arg(long)]
        name: String,
        /// What it may do: calls, text, read or admin; may be given again.
        #[arg(long, required = true)]
        scope: Vec<Scope>,
        /// How much of it in an hour.
        #[arg(long, value_enum, default_value_t = Tier::Free)]
        tier: Tier,
        /// After how many days it ends [default: never]
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
        expires: Option<u32>,
    },
    /// Print another secret for a key; the one of before is taken for a while yet.
    Rotate {
        /// Its identifier.
        id: Key,
        /// For how many hours both are taken.
        #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(u32).range(0..=720))]
        overlap: u32,
    },
    /// From now on a key is not taken.
    Revoke {
        /// Its identifier.
        id: Key,
    },
    /// List the keys; none of them can be shown again.
    List,
}

/// Does it; a Milo that runs hears of it by itself.
///
/// # Errors
/// The database does not answer, or there is no such key.
pub async fn run(what: What, config: &Config) -> Result<()> {
    let store = Store::open(&config.database_url()).await?;
    let done = with(&store, what).await;
    store.close().await;
    done
}

async fn with(store: &Store, what: What) -> Result<()> {
    let keys = Keys::open(store, None, None).await?;
    let now = Stamp::now();
    let after = |hours: u32| Stamp::from_millis(now.millis() + i64::from(hours) * HOUR);
    let (action, id, detail) = match what {
        What::List => {
            for row in keys.list().await? {
                println!("{}", line(&row, now));
            }
            return Ok(());
        }
        What::Create { name, scope, tier, expires } => {
            let scopes = Scopes::of(scope).map_err(anyhow::Error::msg)?;
            let expires = expires.map(|days| after(days * 24));
            let (row, secret) = keys.create(NewKey { name, scopes, tier, expires }, now).await?;
            eprintln!("{} {:?}; write the key down, it is not shown again:", row.id, row.name);
            println!("{}", secret.reveal());
            ("keys.create", row.id, Some(format!("{:?}, {}, {}", row.name, row.scopes, row.tier)))
        }
        What::Rotate { id, overlap } => {
            let Some(secret) = keys.rotate(id, after(overlap)).await? else { bail!("there is no key {id} in force") };
            eprintln!("the key of before is taken for {overlap} h yet; the new one, which is not shown again:");
            println!("{}", secret.reveal());
            ("keys.rotate", id, None)
        }
        What::Revoke { id } => {
            if !keys.revoke(id, now).await? {
                bail!("there is no key {id} in force");
            }
            eprintln!("revoked");
            ("keys.revoke", id, None)
        }
    };
    let deed = NewDeed {
        at: now,
        key: None,
        who: WHO.into(),
        address: None,
        action: action.into(),
        target: Some(id.to_string()),
        detail,
    };
    Ok(store.done(WHO, &deed).await?)
}

/// A key in one line.
fn line(row: &ApiKeyRow, now: Stamp) -> String {
    let state = match (row.revoked, row.expires) {
        (Some(at), _) => format!("revoked {at}"),
        (None, Some(at)) if at <= now => format!("expired {at}"),
        (None, Some(at)) => format!("until {at}"),
        (None, None) => "no end".into(),
    };
    let used = row.used.map_or_else(|| "never used".into(), |at| format!("used {at}"));
    format!("{}  {:?}  {}  {}  {state}  {used}", row.id, row.name, row.scopes, row.tier)
}
