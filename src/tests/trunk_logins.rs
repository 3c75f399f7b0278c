//! Trunks that are told apart by more than an address: by proving who they are, and by the domain that their calls name. In a
//! network namespace, so that there are addresses which Milo does not trust.

use std::{fs, path::Path};

use crate::house::{MILO, PROGRAM, folder, in_a_namespace};
use serde_json::Value;

/// Every number is answered.
const PLANS: &str = "
[[plan]]
name = 'any'
number = '*'
language = 'mg'
actions = [{ answer = {} }, { echo = {} }]
";

#[test]
fn a_trunk_proves_who_it_is_from_anywhere_and_a_domain_alone_opens_nothing() {
    let folder = folder("trunk-logins");
    fs::create_dir(folder.join("plans")).expect("a folder");
    fs::write(folder.join("plans/plans.toml"), [MILO, PLANS].concat()).expect("a plan");
    fs::write(folder.join("secret"), "hush\n").expect("a file");
    // A call of somebody who is asked, with these credentials, to somebody at this domain; and of one who is not asked.
    let sipp = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/sipp");
    let calls = fs::read_to_string(sipp.join("account_calls.xml")).expect("a scenario");
    for (name, user, password, domain) in [
        ("right", "roaming", "hush", "[remote_ip]"),
        ("wrong", "roaming", "guess", "[remote_ip]"),
        ("tenant", "tenant", "own", "tenant.example"),
        ("thief", "roaming", "hush", "tenant.example"),
    ] {
        let calls = calls.replace("username=rina password=secret", &format!("username={user} password={password}"));
        let calls = calls.replace("sip:rina@", "sip:0341234567@");
        let calls = calls.replace(" sip:[service]@[remote_ip] SIP", &format!(" sip:[service]@{domain} SIP"));
        fs::write(folder.join(format!("{name}.xml")), calls).expect("a file");
    }
    let (asked, again) = (calls.find("<recv response=\"401\"").expect("a challenge"), "<recv response=\"100\"");
    let known = [&calls[..asked], &calls[calls.find(again).expect("an answer")..]].concat();
    for (name, domain) in [("known", "[remote_ip]"), ("named", "x.example")] {
        let known = known.replace(" sip:[service]@[remote_ip] SIP", &format!(" sip:[service]@{domain} SIP"));
        fs::write(folder.join(format!("{name}.xml")), known.replace("CSeq: 2 ACK", "CSeq: 1 ACK")).expect("a file");
    }
    let trunks = format!(
        "[{{ name = \"roaming\", inbound_username = \"roaming\", inbound_password_file = \"{}\" }}, \
         {{ name = \"tenant\", inbound_username = \"tenant\", inbound_password = \"own\", domain = \"tenant.example\" }}, \
         {{ name = \"main\", address = \"192.0.2.50\" }}, \
         {{ name = \"named\", address = \"192.0.2.50\", domain = \"x.example\" }}]",
        folder.join("secret").display()
    );
    let script = format!(
        "for last in 1 50 66 77 78 79; do ip addr add 192.0.2.$last/24 dev lo; done
         export MILO__HTTP__LISTEN=127.0.0.1:8000 MILO__SIP__UDP=0.0.0.0:5060 MILO__SIP__TCP=0.0.0.0:5060 LOG_LEVEL=info
         export MILO__SIP__DIGEST='[\"MD5\"]' MILO__DIALPLANS__PATH={plans} MILO__SIP__BAN_WRONG_ANSWERS=1
         export MILO__SIP__TRUNKS='{trunks}'
         timeout 100 {program} serve > out 2> err & milo=$!
         for i in $(seq 200); do grep -q sip:milo out && break; sleep 0.1; done
         from() {{ timeout 30 sipp 192.0.2.1:5060 -i $1 -p 5070 -nostdin -timeout 10 -recv_timeout 4000 -sf $2.xml -s 034 -m 1 \\
           -trace_msg -message_file $2.log >/dev/null 2>&1 && echo $2 >> worked || true; }}
         touch worked
         from 192.0.2.77 right
         from 192.0.2.66 wrong
         from 192.0.2.78 tenant
         from 192.0.2.79 thief
         from 192.0.2.50 known
         from 192.0.2.50 named
         from 192.0.2.79 known
         curl --silent http://127.0.0.1:8000/api/v1/calls > rows
         for id in $(grep -o '\"id\":\"[^\"]*\"' rows | cut -d'\"' -f4); do
           curl --silent http://127.0.0.1:8000/api/v1/calls/$id >> calls; echo >> calls; done
         curl --silent http://127.0.0.1:8000/api/v1/bans > bans
         curl --silent http://127.0.0.1:8000/api/v1/trunks > trunks
         kill $milo; wait $milo || true",
        plans = folder.join("plans").display(),
        program = PROGRAM,
    );
    let Some(output) = in_a_namespace(&folder, &script) else { return };
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
    assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stderr), read("err"));
    let told = ["right.log", "thief.log", "err"].map(read).concat();
    assert_eq!(read("worked").lines().collect::<Vec<_>>(), ["right", "tenant", "known", "named"], "{told}");
    // The newest stands first.
    let calls = read("calls");
    let calls = calls.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let over = |call: &Value| {
        let events = call["events"].as_array().expect("events").clone();
        events.iter().find(|event| event["kind"] == "trunk").map(|event| event["detail"]["name"].to_string())
    };
    let over: Vec<_> = calls.map(|call| over(&call).unwrap_or_default()).collect();
    assert_eq!(over, ["\"named\"", "\"main\"", "\"tenant\"", "\"roaming\""], "nobody else has a call: {told}");
    assert!(read("wrong.log").contains("SIP/2.0 401"), "{}", read("wrong.log"));
    let bans: Value = serde_json::from_str(&read("bans")).expect("JSON");
    let banned =
        |address: &str| bans["bans"].as_array().is_some_and(|all| all.iter().any(|ban| ban["address"] == address));
    assert!(banned("192.0.2.66") && banned("192.0.2.79") && !banned("192.0.2.77"), "{bans}");
    assert!(!read("trunks").contains("hush") && !read("trunks").contains("\"own\""), "{}", read("trunks"));
    fs::remove_dir_all(folder).ok();
}
