//! The call log across crashes, on SQLite and on a real Postgres.

#[path = "../store/postgres_cluster.rs"]
pub(crate) mod postgres_cluster;

use std::{path::Path, time::Duration};

use crate::house::{PROGRAM, alone, call, errand, folder, get, newest_call};
use milo::{
    bench::Running,
    phone::{Errand, Phone},
};
use tokio::{runtime::Handle, time::sleep};

/// Kills Milo in the middle of a call, starts it again on the same log, and looks at what it left.
async fn killed_in_mid_call(variables: &[(&str, &str)]) {
    let folder = folder("killed");
    let milo = Running::start(Path::new(PROGRAM), &folder, variables).await.expect("Milo starts");
    let errand = Errand { wait: true, ..errand(milo.udp("milo").expect("an address"), &["mg_hours.wav"]) };
    let phone = Phone::new(&errand.target, None, Handle::current()).expect("a telephone");
    let calling = tokio::spawn(async move { phone.call(&errand).await });
    for _ in 0..200 {
        sleep(Duration::from_millis(100)).await;
        let calls = get(&milo, "/api/v1/calls");
        if calls["calls"][0]["turn_count"].as_i64().is_some_and(|turns| turns >= 2) {
            break;
        }
    }
    milo.kill().await.expect("kill -9");
    calling.abort();

    let milo = Running::start(Path::new(PROGRAM), &folder, variables).await.expect("Milo starts again");
    let logged = newest_call(&milo).await;
    assert_eq!(logged["end_reason"], "milo was stopped during the call", "{logged}");
    assert!(logged["ended"].as_str() >= logged["started"].as_str(), "{logged}");
    let heard = logged["turns"].as_array().expect("turns").iter().filter(|turn| turn["heard"].is_string()).count();
    assert_eq!(heard, 1, "the turn before the crash is kept: {logged}");
    milo.stop().await.expect("Milo ends");
    std::fs::remove_dir_all(folder).ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_in_mid_call_leaves_a_row_that_the_next_start_closes() {
    killed_in_mid_call(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_on_postgres() {
    killed_in_mid_call(&[("DATABASE_URL", &postgres().await)]).await;
}

/// The address of a new, empty database of a real Postgres.
pub(crate) async fn postgres() -> String {
    postgres_cluster::new_database(async |server, statement| {
        let made =
            std::process::Command::new("psql").args([server.as_str(), "--quiet", "--command", &statement]).status();
        assert!(made.expect("psql").success(), "{statement}");
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_milo_on_the_same_folder_is_refused() {
    let milo = crate::house::milo("twice", &[]).await;
    let second = alone(PROGRAM, milo.folder()).arg("serve").output().expect("the program runs");
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains("MILO_DATA_DIR") || said.contains("another Milo"), "{said}");
    call(&errand(milo.udp("milo").expect("an address"), &["mg_hours.wav"])).await;
    crate::house::stop(milo).await;
}
