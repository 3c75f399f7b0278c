//! Milo without any network: what ships holds a whole call, and tries to reach nobody.
//!
//! In a network namespace that has its loopback device and no route, whoever tries to reach another machine is told that there is no way
//! there, and the system counts that (`OutNoRoutes`; TCP, UDP and names alike, since the name server that is named lies elsewhere).

use std::fs;

use serde_json::Value;

use crate::house::{MG_HOURS, PROGRAM, assert_turn, folder, in_a_namespace, loud, recording, recordings, sides};

/// What every script here begins with: a name server that nobody reaches, how attempts are counted, and a Milo that is waited for.
fn prelude() -> String {
    format!(
        "echo nameserver 192.0.2.53 > resolv.conf
         mount --bind resolv.conf \"$(readlink -f /etc/resolv.conf)\"
         if ip route show | grep -q .; then echo 'there is a route' >&2; exit 1; fi
         attempts() {{
           awk '/^Ip: / {{ if (named) {{ n = $at }} else {{ for (f = 1; f <= NF; f++) if ($f == \"OutNoRoutes\") at = f; named = 1 }} }}
                $1 == \"Ip6OutNoRoutes\" {{ n += $2 }} END {{ print n + 0 }}' /proc/net/snmp /proc/net/snmp6
         }}
         start() {{
           timeout 240 {PROGRAM} serve > out 2> err & milo=$!
           for i in $(seq 900); do grep -q 'sip:milo@' out && break; sleep 0.1; done
           grep -q 'sip:milo@' out || {{ echo 'Milo is not up after 90 s' >&2; kill $milo; exit 1; }}
           http=$(grep -o 'http://127[^ ]*' out | head -n 1)
         }}
         "
    )
}

#[test]
fn a_call_is_held_and_recorded_and_nobody_is_tried_to_be_reached() {
    let folder = folder("offline");
    let script = format!(
        "{prelude}
         attempts > before
         export MILO__RECORDING__ENABLED=true
         start
         uri=$(grep -o 'sip:milo@[^ ;]*' out | head -n 1)
         {PROGRAM} call $uri --no-transcript --json --play {sound} > report.json
         for i in $(seq 100); do
           curl --silent --fail ${{http}}api/v1/calls > calls.json
           grep -q '\"ended\":\"' calls.json && break; sleep 0.1
         done
         id=$(grep -o '\"id\":\"[^\"]*\"' calls.json | head -n 1 | cut -d '\"' -f 4)
         curl --silent --fail ${{http}}api/v1/calls/$id > call.json
         curl --silent --fail --json '{{\"message\": \"salama\", \"mode\": \"voice\"}}' ${{http}}api/v1/chat > chat.json
         curl --silent --fail ${{http}}api/v1/health > health.json
         kill $milo; wait $milo || true
         attempts > by-milo
         # The same count sees who tries: by address, by either protocol and family, and by name.
         curl --silent --max-time 2 http://192.0.2.1/ || true; attempts > by-address
         curl --silent --max-time 2 'http://[2001:db8::1]/' || true; attempts > by-family
         timeout 20 getent ahosts api.example.com || true; attempts > by-name",
        prelude = prelude(),
        sound = recording("mg_hours.wav").display(),
    );
    let Some(output) = in_a_namespace(&folder, &script) else { return };
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
    assert!(output.status.success(), "{}\n{}", String::from_utf8_lossy(&output.stderr), read("err"));
    let count = |name: &str| -> u64 { read(name).trim().parse().unwrap_or_else(|_| panic!("{name}: {}", read(name))) };
    assert_eq!(count("by-milo") - count("before"), 0, "Milo has tried to reach somebody\n{}", read("err"));
    assert!(count("by-address") > count("by-milo"), "an address is seen");
    assert!(count("by-family") > count("by-address"), "one of IPv6 is");
    assert!(count("by-name") > count("by-family"), "a name is");

    // And it was a whole call: heard, answered and recorded.
    let call: Value = serde_json::from_str(&read("call.json")).expect("a call");
    let turns: Vec<_> =
        call["turns"].as_array().expect("turns").iter().filter(|turn| turn["heard"].is_string()).collect();
    assert_turn(turns[0], "mg", MG_HOURS.0, MG_HOURS.1);
    assert_eq!((&turns[0]["mode"], &call["recording_state"]), (&"local".into(), &"complete".into()), "{call}");
    let (caller, agent) = sides(&recordings(&folder)[0]);
    assert!(loud(&caller) > 1_000 && loud(&agent) > 1_000, "both are heard in the recording");
    let chat: Value = serde_json::from_str(&read("chat.json")).expect("an answer");
    assert!(chat["mode"] == "local" && chat["audio"].is_string(), "{chat}");
    let health: Value = serde_json::from_str(&read("health.json")).expect("health");
    assert_eq!((&health["mode"], &health["status"]), (&"local".into(), &"healthy".into()), "{health}");
    fs::remove_dir_all(folder).ok();
}

#[test]
fn a_milo_that_asks_a_server_is_seen_to_try() {
    let folder = folder("online");
    let script = format!(
        "{prelude}
         export DEFAULT_MODE=cloud ANTHROPIC_API_KEY=sk-of-a-scenario-0123456789
         start
         attempts > before
         curl --silent --fail --json '{{\"message\": \"salama\"}}' ${{http}}api/v1/chat > chat.json
         attempts > after
         kill $milo; wait $milo || true",
        prelude = prelude(),
    );
    let Some(output) = in_a_namespace(&folder, &script) else { return };
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
    assert!(output.status.success(), "{}\n{}", String::from_utf8_lossy(&output.stderr), read("err"));
    let chat: Value = serde_json::from_str(&read("chat.json")).expect("an answer");
    assert_eq!(chat["mode"], "local", "the local model answers in its place: {chat}");
    let count = |name: &str| -> u64 { read(name).trim().parse().unwrap_or_else(|_| panic!("{name}: {}", read(name))) };
    assert!(count("after") > count("before"), "what is asked for by its name is seen");
    fs::remove_dir_all(folder).ok();
}
