use sqlx::{ConnectOptions, Executor, sqlite::SqliteConnectOptions};

use super::*;
use crate::config::SecretUrl;

struct House {
    store: Store,
    folder: std::path::PathBuf,
}

impl House {
    async fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("milo-keys-{}", Key::new()));
        let store = Store::open(&SecretUrl::new(format!("sqlite:{}/milo.db", folder.display()))).await.unwrap();
        Self { store, folder }
    }
}

impl Drop for House {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

fn at(millis: i64) -> Stamp {
    Stamp::from_millis(millis)
}

fn new(name: &str, scopes: &str, expires: Option<Stamp>) -> NewKey {
    NewKey { name: name.into(), scopes: scopes.parse().unwrap(), tier: Tier::Pro, expires }
}

#[tokio::test]
async fn a_key_is_taken_until_it_ends_and_only_its_hash_is_kept() {
    let house = House::new().await;
    let keys = Keys::open(&house.store, None, None).await.unwrap();
    assert!(!keys.any());
    let (row, secret) = keys.create(new("screen", "read text", Some(at(2_000))), at(1_000)).await.unwrap();
    assert!(keys.any());
    let bearer = keys.judge(secret.reveal(), at(1_999)).unwrap();
    assert_eq!((bearer.id, &*bearer.name, bearer.tier), (Some(row.id), "screen", Tier::Pro));
    assert!(bearer.scopes.allow(Scope::Read) && bearer.scopes.allow(Scope::Text));
    assert!(!bearer.scopes.allow(Scope::Calls) && !bearer.scopes.allow(Scope::Admin));
    assert_eq!(keys.judge(secret.reveal(), at(2_000)), Err(Refusal::Expired(at(2_000))));
    let shortened = &secret.reveal()[..secret.reveal().len() - 1];
    assert_eq!(keys.judge(shortened, at(1_999)), Err(Refusal::Unknown));
    for file in std::fs::read_dir(&house.folder).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(secret.reveal().len()).any(|window| window == secret.reveal().as_bytes()));
    }
}

#[tokio::test]
async fn a_rotated_key_is_taken_beside_the_new_one_for_a_while() {
    let house = House::new().await;
    let keys = Keys::open(&house.store, None, None).await.unwrap();
    let (row, old) = keys.create(new("screen", "read", None), at(1_000)).await.unwrap();
    let new = keys.rotate(row.id, at(5_000)).await.unwrap().unwrap();
    assert_eq!(keys.judge(old.reveal(), at(4_999)).unwrap().id, Some(row.id));
    assert_eq!(keys.judge(new.reveal(), at(4_999)).unwrap().id, Some(row.id));
    assert_eq!(keys.judge(old.reveal(), at(5_000)), Err(Refusal::Replaced(at(5_000))));
    assert!(keys.judge(new.reveal(), at(5_000)).is_ok());
    let newest = keys.rotate(row.id, at(6_000)).await.unwrap().unwrap();
    assert_eq!(keys.judge(old.reveal(), at(4_999)), Err(Refusal::Unknown), "two rotations ago");
    assert!(keys.revoke(row.id, at(5_500)).await.unwrap());
    for secret in [&new, &newest] {
        assert_eq!(keys.judge(secret.reveal(), at(5_500)), Err(Refusal::Revoked(at(5_500))), "revoked is both");
    }
    assert!(!keys.revoke(row.id, at(5_600)).await.unwrap());
    assert!(keys.rotate(row.id, at(9_000)).await.unwrap().is_none());
    assert!(!keys.any(), "a revoked key is none");
}

#[tokio::test]
async fn a_key_that_another_node_revokes_is_refused_although_the_table_cannot_be_told() {
    let house = House::new().await;
    let keys = Keys::open(&house.store, None, None).await.unwrap();
    let (row, secret) = keys.create(new("screen", "read", None), at(1_000)).await.unwrap();
    let (other, kept) = keys.create(new("kept", "read", None), at(1_000)).await.unwrap();
    let file = house.folder.join("milo.db");
    let mut database = SqliteConnectOptions::new().filename(file).connect().await.unwrap();
    let stuck = "CREATE TRIGGER stuck BEFORE UPDATE ON api_keys BEGIN SELECT RAISE(ABORT, 'stuck'); END";
    database.execute(stuck).await.unwrap();
    keys.revoked_elsewhere(&[(row.id, at(1_500))]).await;
    assert!(keys.list().await.unwrap().iter().all(|row| row.revoked.is_none()), "the table says that it is in force");
    assert_eq!(keys.judge(secret.reveal(), at(2_000)), Err(Refusal::Revoked(at(1_500))));
    assert_eq!(keys.judge(kept.reveal(), at(2_000)).unwrap().id, Some(other.id));
}

#[tokio::test]
async fn the_key_of_the_environment_may_do_everything() {
    let house = House::new().await;
    let keys = Keys::open(&house.store, Some(&Secret::new("0123456789abcdef")), None).await.unwrap();
    assert!(keys.any());
    let bearer = keys.judge("0123456789abcdef", at(0)).unwrap();
    assert!(bearer.id.is_none() && bearer.scopes.allow(Scope::Admin) && bearer.scopes.allow(Scope::Calls));
    for wrong in ["", "0123456789abcde", "0123456789abcdeF", "0123456789abcdef0"] {
        assert_eq!(keys.judge(wrong, at(0)), Err(Refusal::Unknown), "{wrong}");
    }
}

#[tokio::test]
async fn what_another_process_does_to_the_keys_is_heard_of() {
    let house = House::new().await;
    let keys = Arc::new(Keys::open(&house.store, None, None).await.unwrap());
    let following = tokio::spawn(follow(Arc::clone(&keys)));
    let command_line = Keys::open(&house.store, None, None).await.unwrap();
    let (row, secret) = command_line.create(new("screen", "read", None), at(1_000)).await.unwrap();
    let until = async |known: bool| {
        while keys.judge(secret.reveal(), Stamp::now()).is_ok() != known {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let soon = std::time::Duration::from_secs(20);
    tokio::time::timeout(soon, until(true)).await.expect("the new key is known");
    let used = async {
        while command_line.list().await.unwrap()[0].used.is_none() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(soon, used).await.expect("that it was used is known");
    command_line.revoke(row.id, Stamp::now()).await.unwrap();
    tokio::time::timeout(soon, until(false)).await.expect("that it was revoked is known");
    following.abort();
}

#[tokio::test]
async fn a_key_that_makes_no_sense_is_refused_with_a_sentence() {
    let house = House::new().await;
    let keys = Keys::open(&house.store, None, None).await.unwrap();
    for (name, expires) in [("", None), (" ", None), ("a\nb", None), (&*"x".repeat(101), None), ("past", Some(at(999)))]
    {
        let wrong = keys.create(new(name, "read", expires), at(1_000)).await;
        assert!(matches!(wrong, Err(KeyError::Wrong(_))), "{name:?}");
    }
    assert!("".parse::<Scopes>().is_err() && "read write".parse::<Scopes>().is_err());
    assert_eq!("text  read text".parse::<Scopes>().unwrap().to_string(), "text read");
}
