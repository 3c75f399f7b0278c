//! Who guesses passwords and who scans is shut out for a time, and nobody gets others shut out: in a network namespace, so that
//! there are addresses which Milo does not trust.

use std::{fs, path::Path};

use crate::{
    accounts::accounts,
    house::{MILO, PROGRAM, folder, in_a_namespace},
};
use serde_json::Value;

#[test]
fn guessers_and_scanners_are_shut_out_and_those_who_are_trusted_never() {
    let folder = folder("bans");
    let file = accounts(&folder);
    fs::create_dir(folder.join("plans")).expect("a folder");
    fs::write(folder.join("plans/plans.toml"), MILO).expect("a plan");
    let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/sipp");
    // .66 guesses, .77 is said to scan by whoever forges its address, .50 is a trunk that somebody forges too.
    let script = format!(
        "for last in 1 50 66 77; do ip addr add 192.0.2.$last/24 dev lo; done
         export MILO__HTTP__LISTEN=127.0.0.1:8000 MILO__SIP__UDP=0.0.0.0:5060 MILO__SIP__TCP=0.0.0.0:5060 LOG_LEVEL=info
         export MILO__SIP__ACCOUNTS={accounts} MILO__SIP__DIGEST='[\"MD5\"]' MILO__DIALPLANS__PATH={plans}
         export MILO__SIP__BAN_WRONG_ANSWERS=3 MILO__SIP__BAN_REQUESTS=20
         export MILO__SIP__TRUNKS='[{{ name = \"pbx\", address = \"192.0.2.50\" }}]'
         timeout 100 {program} serve > out 2> err & milo=$!
         for i in $(seq 200); do grep -q sip:milo out && break; sleep 0.1; done
         from() {{ timeout 30 sipp 192.0.2.1:5060 -i $1 -p 5070 -nostdin -timeout 10 -recv_timeout 4000 -sf {sipp}/$2 -m $3 \\
           >/dev/null 2>&1 && echo \"$1 $2\" >> worked || true; }}
         bans() {{ curl --silent http://127.0.0.1:8000/api/v1/bans > $1; }}
         touch worked
         from 192.0.2.66 account_guesses.xml 3
         from 192.0.2.77 scan.xml 5
         from 192.0.2.50 scan.xml 5
         from 127.0.0.1 scan.xml 5
         bans after
         from 192.0.2.66 account_registers.xml 1
         bans dropped
         from 192.0.2.77 account_registers.xml 1
         curl --silent -X DELETE -o /dev/null -w '%{{http_code}}' http://127.0.0.1:8000/api/v1/bans/192.0.2.66 > lifted
         curl --silent -X DELETE -o /dev/null -w '%{{http_code}}' http://127.0.0.1:8000/api/v1/bans/192.0.2.50 > unlifted
         from 192.0.2.66 account_registers.xml 1
         bans last
         curl --silent http://127.0.0.1:8000/api/v1/audit > audit
         curl --silent http://127.0.0.1:8000/metrics > metrics
         kill $milo; wait $milo || true",
        accounts = file.display(),
        plans = folder.join("plans").display(),
        program = PROGRAM,
        sipp = scenarios.display(),
    );
    let Some(output) = in_a_namespace(&folder, &script) else { return };
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
    assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stderr), read("err"));
    let bans = |name: &str| -> Vec<Value> {
        let list: Value = serde_json::from_str(&read(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        list["bans"].as_array().expect("a list").clone()
    };
    let of = |list: &[Value], address: &str| list.iter().find(|ban| ban["address"] == address).cloned();

    let after = bans("after");
    let guesser = of(&after, "192.0.2.66").unwrap_or_else(|| panic!("no guesser: {after:?}\n{}", read("err")));
    assert_eq!((&guesser["why"], &guesser["proven"]), (&"wrong answers to challenges".into(), &true.into()));
    let scanner = of(&after, "192.0.2.77").unwrap_or_else(|| panic!("no scanner: {after:?}\n{}", read("err")));
    assert_eq!((&scanner["why"], &scanner["proven"]), (&"requests of a stranger".into(), &false.into()));
    assert_eq!(after.len(), 2, "neither the trunk nor this machine: {after:?}");

    // Shut out, the right password helps the one that guessed as little as any; the other one proves itself.
    let dropped = of(&bans("dropped"), "192.0.2.66").expect("still banned");
    assert!(dropped["dropped"].as_u64() > Some(0), "{dropped}");
    let worked: Vec<String> =
        read("worked").lines().filter(|line| line.contains("registers")).map(Into::into).collect();
    assert_eq!(worked, ["192.0.2.77 account_registers.xml", "192.0.2.66 account_registers.xml"], "{}", read("err"));
    assert_eq!((read("lifted").as_str(), read("unlifted").as_str()), ("204", "404"));
    assert!(bans("last").is_empty(), "{}", read("last"));
    let audit: Value = serde_json::from_str(&read("audit")).unwrap_or_else(|error| panic!("audit: {error}"));
    let deed = &audit["deeds"][0];
    assert_eq!((&deed["action"], &deed["target"]), (&"bans.delete".into(), &"192.0.2.66".into()), "{audit}");
    let metrics = read("metrics");
    let figure = metrics.lines().find_map(|line| line.strip_prefix("milo_sip_banned_total ")?.parse::<f64>().ok());
    assert!(figure > Some(0.0), "{metrics}");
    let log = read("err");
    assert!(log.contains("an address is banned") && log.contains("a ban was lifted"), "{log}");
    fs::remove_dir_all(folder).ok();
}
