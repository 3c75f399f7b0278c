//! A trunk that is asked whether it is there, and is not called over while it does not answer.

use std::{fs, path::Path, process::Command, time::Duration};

use crate::{
    address::own_address,
    calling_out::{Callee, calling, calling_with, event, place, placed, trunk_to},
    destinations::{FAR, OUT},
    house::{folder, get, metric, stop, with_plans},
};
use milo::bench::Running;
use serde_json::{Value, json};

/// Waits until a trunk is reachable, or is not.
async fn becomes(milo: &Running, trunk: usize, reachable: bool) -> Value {
    let mut known = Value::Null;
    for _ in 0..400 {
        known = get(milo, "/api/v1/trunks")["trunks"][trunk].clone();
        if known["reachable"] == reachable {
            return known;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the trunk never was reachable = {reachable}: {known}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trunk_that_does_not_answer_is_passed_over_until_it_does() {
    let spare = with_plans("spare", FAR).await;
    let (at, baresip_at) = (format!("{}:5070", own_address()), format!("{}:5070", own_address()));
    let files = folder("asked-telephone");
    let config = format!(
        "sip_listen {baresip_at}\nmodule_path /usr/lib/baresip/modules\nmodule g711.so\n\
         module_app account.so\nmodule_app menu.so\n"
    );
    fs::write(files.join("config"), config).expect("a configuration");
    fs::write(files.join("accounts"), "<sip:callee@127.0.0.1>;regint=0\n").expect("an account");
    let _baresip = Callee::start(Command::new("baresip").arg("-f").arg::<&Path>(&files));
    let trunks = [
        format!("{{ name = 'asked', gateway = 'sip:{at}', options_s = 1 }}"),
        trunk_to(&spare, "spare", ""),
        format!("{{ name = 'baresip', gateway = 'sip:{baresip_at}', options_s = 1 }}"),
    ];
    let near = calling("asking-trunks", OUT, &format!("[{}]", trunks.join(", "))).await;

    // Nobody is there.
    let down = becomes(&near, 0, false).await;
    assert!(down["unreachable"].as_str().is_some_and(|why| why.contains("OPTIONS")), "{down}");
    assert_eq!(metric(&near, "milo_trunk_reachable{trunk=\"asked\"}").await, 0.0);
    let health = get(&near, "/api/v1/health");
    assert!(health["degraded"].to_string().contains("asked"), "{health}");
    let refused = place(&near, &json!({ "to": "034", "trunk": "asked" }));
    assert!(refused.status == 503 && refused.header("retry-after").is_some(), "{refused:?}");
    let row = placed(&near, &json!({ "to": "034", "trunk": ["asked", "spare"] })).await;
    assert_eq!(event(&row, "trunk")["name"], "spare", "{row}");
    assert_eq!(event(&row, "tried")["result"], "the trunk does not answer", "{row}");

    // Somebody comes, is called over, and goes again.
    let far = calling_with("came-up", FAR, "[]", &[("MILO__SIP__UDP", &at)]).await;
    let up = becomes(&near, 0, true).await;
    assert!(up["options_ms"].is_u64() && up["unreachable"].is_null(), "{up}");
    assert_eq!(metric(&near, "milo_trunk_reachable{trunk=\"asked\"}").await, 1.0);
    let row = placed(&near, &json!({ "to": "034", "trunk": ["asked", "spare"] })).await;
    assert_eq!((&row["outcome"], &event(&row, "trunk")["name"]), (&"answered".into(), &"asked".into()), "{row}");
    stop(far).await;
    becomes(&near, 0, false).await;

    // A program that we did not write, and a trunk that nobody asks.
    becomes(&near, 2, true).await;
    assert_eq!(get(&near, "/api/v1/trunks")["trunks"][1]["reachable"], Value::Null);
    stop(near).await;
    stop(spare).await;
    fs::remove_dir_all(files).ok();
}
