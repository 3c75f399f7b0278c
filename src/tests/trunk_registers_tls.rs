//! A trunk that Milo registers with over TLS: another Milo is the registrar. Its calls come by the connection that the registration
//! has opened, and none but the authority of the trunk is believed.

use std::fs;

use crate::{
    accounts::{accounts, registered},
    by_hand::Peer,
    calling_out::{calling, event, placed},
    destinations::{FAR, OUT},
    house::{folder, get, newest_call, stop, tls_port, with_plans_and},
    trunk_servers::becomes,
    trunk_tls::Authority,
};
use serde_json::json;

const REGISTRAR: &str = "
[[plan]]
name = 'desk'
number = 'desk'
language = 'mg'
actions = [{ answer = {} }, { dial = { account = 'rina' } }, { hangup = {} }]
";

#[tokio::test(flavor = "multi_thread")]
async fn milo_registers_over_tls_is_called_by_that_connection_and_calls_over_it() {
    let files = folder("registers-tls-files");
    let (right, wrong) = (Authority::new(&files, "right"), Authority::new(&files, "wrong"));
    let carrier = right.signs(&files, "127.0.0.1");
    let text = |path: &std::path::Path| path.to_string_lossy().into_owned();
    let (chain, key) = (text(&carrier.chain), text(&carrier.key));
    let people = text(&accounts(&files));
    let secured = [
        ("MILO__SIP__TLS", "127.0.0.1:0"),
        ("MILO__SIP__TLS_CERT", &chain),
        ("MILO__SIP__TLS_KEY", &key),
        ("MILO__SIP__ACCOUNTS", &people),
    ];
    let far = with_plans_and("registers-tls-far", &[REGISTRAR, FAR].concat(), &secured).await;
    let registrar = format!("sips:127.0.0.1:{}", tls_port(&far));
    let trunk = |name: &str, authority: &Authority| {
        format!(
            "{{ name = '{name}', register = true, registrar = '{registrar}', username = 'rina', password = 'secret', \
             tls_ca = '{}' }}",
            authority.file.display()
        )
    };
    let trunks = format!("[{}, {}]", trunk("carrier", &right), trunk("deceived", &wrong));
    let near = calling("registers-tls-near", &[OUT, FAR].concat(), &trunks).await;
    becomes(&near, 0, "registered", |trunk| trunk["state"] == "registered").await;
    let shown = registered(&far, 1).await;
    assert_eq!(shown["telephones"][0]["transport"], "tls", "{shown}");
    becomes(&near, 1, "refused for its certificate", |trunk| {
        trunk["state"] == "failed" && trunk["last_error"].as_str().is_some_and(|why| why.contains("no authority"))
    })
    .await;

    // Milo there listens for TLS, Milo here does not: the call comes by the connection that is open.
    let caller = Peer::beside(&far).await;
    let up = caller.call("desk", "<sip:0341234567@127.0.0.1>", "").await;
    let bye = caller.hear("BYE").await;
    caller.answer(&bye, 200, false).await;
    drop(up);
    let row = newest_call(&near).await;
    assert_eq!(
        (&row["to"], &event(&row, "trunk")["name"], &row["from"]),
        (&"rina".into(), &"carrier".into(), &"0341234567".into()),
        "{row}"
    );
    let ladder = get(&near, &format!("/api/v1/calls/{}/sip", row["id"].as_str().expect("an identifier")));
    assert_eq!(ladder["messages"][0]["transport"], "tls", "{ladder:#}");
    let row = newest_call(&far).await;
    assert_eq!(event(&row, "dialled")["result"], "answered", "{row}");

    // And out: the registrar is the way.
    let row = placed(&near, &json!({ "to": "034", "trunk": "carrier" })).await;
    assert_eq!((&row["outcome"], &event(&row, "trunk")["name"]), (&"answered".into(), &"carrier".into()), "{row}");
    let ladder = get(&near, &format!("/api/v1/calls/{}/sip", row["id"].as_str().expect("an identifier")));
    assert_eq!(ladder["messages"][0]["transport"], "tls", "{ladder:#}");
    stop(near).await;
    registered(&far, 0).await;
    stop(far).await;
    fs::remove_dir_all(files).ok();
}
