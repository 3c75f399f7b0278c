//! An address within the network of a trunk, called or written to for the API: under the trunk's rules and limits, though it is not the
//! trunk's gateway.

use std::fs;

use crate::{
    calling_out::event,
    house::{MILO, PROGRAM, folder, in_a_namespace},
};
use serde_json::Value;

const PLAN: &str = "
[[plan]]
name = 'outgoing'
language = 'mg'
actions = [{ answer = {} }, { hangup = {} }]
";

#[test]
fn an_address_in_a_trunks_network_is_called_under_the_trunks_rules() {
    let folder = folder("trunk-network");
    fs::create_dir(folder.join("plans")).expect("a folder");
    fs::write(folder.join("plans/plans.toml"), [MILO, PLAN].concat()).expect("a plan");
    let script = format!(
        "ip addr add 192.0.2.1/24 dev lo; ip addr add 192.0.2.9/24 dev lo; ip addr add 198.51.100.9/24 dev lo
         export MILO__HTTP__LISTEN=127.0.0.1:8000 MILO__SIP__UDP=0.0.0.0:5060 MILO__SIP__TCP=0.0.0.0:5060 MILO__MEDIA__RTP_PORTS=10000-10099
         export MILO__DIALPLANS__PATH={plans}
         export MILO__SIP__TRUNKS='[{{ name = \"lan\", address = \"192.0.2.0/24\", deny = [\"0349\"], caller_id = \"0201\", calls_per_day = 1 }}]'
         timeout 90 {PROGRAM} serve > out 2> err & milo=$!
         for i in $(seq 200); do grep -q sip:milo out && break; sleep 0.1; done
         sipp -sn uas -i 192.0.2.9 -p 5070 -nostdin -trace_msg -message_file heard > /dev/null 2>&1 & uas=$!
         sipp -sn uas -i 198.51.100.9 -p 5070 -nostdin > /dev/null 2>&1 & other=$!
         sleep 1
         call() {{
           curl --silent --json \"{{\\\"to\\\": \\\"$2\\\", \\\"caller_id\\\": $3}}\" http://127.0.0.1:8000/api/v1/calls > placed
           id=$(sed 's/.*\"id\":\"\\([^\"]*\\)\".*/\\1/' placed)
           for i in $(seq 150); do
             curl --silent http://127.0.0.1:8000/api/v1/calls/$id > $1
             grep -q '\"ended\":\"' $1 && break; sleep 0.1
           done
         }}
         text() {{ curl --silent --json \"{{\\\"to\\\": \\\"$2\\\", \\\"text\\\": \\\"x\\\"}}\" http://127.0.0.1:8000/api/v1/messages > $1; }}
         call denied sip:0349@192.0.2.9:5070 null
         text text_denied sip:0349@192.0.2.9:5070
         call unshown sip:0331@192.0.2.9:5070 '\"0209\"'
         python3 -c 'import socket, time
held = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for port in range(100)]
[one.bind((\"0.0.0.0\", 10000 + at)) for at, one in enumerate(held)]
time.sleep(60)' & ports=$!
         sleep 1
         call unsent sip:0331@192.0.2.9:5070 null
         kill $ports; wait $ports || true; sleep 3
         call first sip:0331@192.0.2.9:5070 null
         call second sip:0331@192.0.2.9:5070 null
         text text_spent sip:0331@192.0.2.9:5070
         call elsewhere sip:0349@198.51.100.9:5070 '\"0209\"'
         curl --silent http://127.0.0.1:8000/api/v1/trunks > trunks
         kill $uas || true; kill $other || true; kill $milo; wait $milo || true",
        plans = folder.join("plans").display(),
    );
    let Some(output) = in_a_namespace(&folder, &script) else { return };
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
    assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stderr), read("err"));
    let json = |name: &str| -> Value {
        serde_json::from_str(&read(name)).unwrap_or_else(|error| panic!("{name}: {error}: {}", read(name)))
    };
    for (name, result) in [
        ("denied", "the trunk does not call this number"),
        ("unshown", "the trunk does not show this caller ID"),
        // No port was free for its audio: what was not sent counts for nothing.
        ("unsent", "failed"),
        ("first", "answered"),
        ("second", "the trunk has carried its calls of today"),
        ("elsewhere", "answered"),
    ] {
        let row = json(name);
        assert_eq!(event(&row, "dialled")["result"], result, "{name}: {row} {}", read("err"));
    }
    assert_eq!(event(&json("first"), "trunk")["name"], "lan");
    assert!(json("elsewhere")["events"].as_array().is_some_and(|all| all.iter().all(|one| one["kind"] != "trunk")));
    assert_eq!(
        (&json("text_denied")["result"], &json("text_spent")["result"]),
        (&"not allowed".into(), &"too many".into())
    );
    let heard = read("heard");
    assert_eq!(heard.matches("INVITE sip:0331@192.0.2.9:5070 SIP/2.0").count(), 1, "{heard}");
    assert!(
        heard.contains("From: <sip:0201@") && !heard.contains("0349") && !heard.contains("MESSAGE sip:"),
        "{heard}"
    );
    assert_eq!(json("trunks")["trunks"][0]["calls_today"], 1);
    fs::remove_dir_all(folder).ok();
}
