//! The place that a call has among those of its account comes back, however the call ends.

use std::{fs, path::Path};

use crate::{
    accounts::accounts,
    house::{MILO, PROGRAM, folder, in_a_namespace},
};
use serde_json::Value;

const PLANS: &str = "
[[plan]]
name = 'brief'
number = 'brief'
language = 'mg'
actions = [{ answer = {} }, { wait = { seconds = 1 } }, { hangup = {} }]

[[plan]]
name = 'long'
number = 'long'
language = 'mg'
actions = [{ answer = {} }, { wait = { seconds = 120 } }]

[[plan]]
name = 'ringing'
number = 'ringing'
language = 'mg'
actions = [{ ring = { seconds = 60 } }, { answer = {} }]

[[plan]]
name = 'engaged'
number = 'engaged'
language = 'mg'
actions = [{ reject = { status = 486 } }]

[[plan]]
name = 'lost'
number = 'lost'
language = 'mg'
actions = [{ answer = {} }, { dial = { to = 'sip:nobody@192.0.2.200' } }, { wait = { seconds = 1 } }]
";

/// A request or a response of the telephone, with this start line.
pub(crate) fn says(start: &str, fields: &str) -> String {
    format!("<send><![CDATA[\n      {start}\n      {fields}\n      Content-Length: 0\n\n    ]]></send>\n")
}

pub(crate) fn request(method: &str, number: u8, via: &str) -> String {
    let fields = format!(
        "{via}\n      From: <sip:rina@[remote_ip]>;tag=[call_number]\n      To: <sip:[service]@[remote_ip]>[peer_tag_param]\n      Call-ID: [call_id]\n      \
         CSeq: {number} {method}\n      Max-Forwards: 70"
    );
    says(&format!("{method} sip:[service]@[remote_ip] SIP/2.0"), &fields)
}

#[test]
fn the_place_of_a_call_comes_back_however_it_ends() {
    let folder = folder("account-places");
    let file = accounts(&folder);
    fs::create_dir(folder.join("plans")).expect("a folder");
    fs::write(folder.join("plans/plans.toml"), [MILO, PLANS].concat()).expect("a plan");
    let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/sipp");
    let calls = fs::read_to_string(scenarios.join("account_calls.xml")).expect("a scenario");
    let (asked, _) = calls.split_once("<recv response=\"100\"").expect("the INVITE that proves who calls");
    let (answered, _) = calls.split_once("<pause").expect("the answer");
    let unacknowledged = calls.split_once("<recv response=\"200\" rtd=\"true\"/>").expect("the answer").0;
    let own = "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]";
    let waits = "<pause milliseconds=\"60000\"/>";
    let told = "[last_Via:]\n      [last_From:]\n      [last_To:]\n      [last_Call-ID:]\n      [last_CSeq:]";
    let let_go = format!("<recv request=\"BYE\"/>{}", says("SIP/2.0 200 OK", told));
    let refused = |status: u16| format!("<recv response=\"{status}\"/>{}", request("ACK", 2, "[last_Via:]"));
    let takes_back = "CANCEL sip:[service]@[remote_ip] SIP/2.0";
    let of_the_invite = "[last_Via:]\n      From: <sip:rina@[remote_ip]>;tag=[call_number]\n      \
                         To: <sip:[service]@[remote_ip]>\n      Call-ID: [call_id]\n      CSeq: 2 CANCEL\n      Max-Forwards: 70";
    for (name, scenario) in [
        ("ended", [answered, &let_go].concat()),
        (
            "hangs_up",
            [answered, "<pause milliseconds=\"500\"/>", &request("BYE", 3, own), "<recv response=\"200\"/>"].concat(),
        ),
        ("engaged", [asked, "<recv response=\"100\" optional=\"true\"/>", &refused(486)].concat()),
        (
            "takes_back",
            [
                asked,
                "<recv response=\"100\" optional=\"true\"/><recv response=\"180\"/>",
                &says(takes_back, of_the_invite),
                "<recv response=\"200\"/>",
                &refused(487),
            ]
            .concat(),
        ),
        ("stays", [answered, waits].concat()),
        ("unacknowledged", [unacknowledged, "<recv response=\"200\" rtd=\"true\"/>", waits].concat()),
    ] {
        fs::write(folder.join(format!("{name}.xml")), format!("{scenario}</scenario>\n")).expect("a scenario");
    }
    let script = format!(
        "ip addr add 192.0.2.1/24 dev lo; ip addr add 192.0.2.66/24 dev lo
         export MILO__HTTP__LISTEN=127.0.0.1:8000 MILO__SIP__UDP=0.0.0.0:5060 MILO__SIP__TCP=0.0.0.0:5060 LOG_LEVEL=info
         export MILO__SIP__ACCOUNTS={accounts} MILO__SIP__DIGEST='[\"MD5\"]' MILO__DIALPLANS__PATH={plans}
         export MILO__SIP__ACCOUNT_LIMITS='[{{ account = \"rina\", max_calls = 1 }}]' MILO__MEDIA__RTP_TIMEOUT_S=3
         timeout 150 {PROGRAM} serve > out 2> err & milo=$!
         for i in $(seq 200); do grep -q sip:milo out && break; sleep 0.1; done
         api=http://127.0.0.1:8000/api/v1
         live() {{ for i in $(seq $2); do curl --silent $api/registrations | grep -q \"\\\"calls_live\\\":$1,\" && return; sleep 0.1; done; false; }}
         call() {{ timeout $1 30 sipp 192.0.2.1:5060 -i 192.0.2.66 -p $3 -m 1 -nostdin -s $2 -sf $4 -trace_msg -message_file $(basename $4).heard \\
           > /dev/null 2>&1; }}
         back() {{ live 0 $2 || echo $1 keeps its place >> kept; }}
         touch kept wrong
         call -k5 echo 5070 {registers} || echo registers >> wrong
         call -k5 brief 5070 ended.xml || echo ended >> wrong
         back ended 100
         call -k5 long 5070 hangs_up.xml || echo hangs_up >> wrong
         back hangs_up 100
         call -k5 engaged 5070 engaged.xml || echo engaged >> wrong
         back engaged 100
         call -k5 ringing 5070 takes_back.xml || echo takes_back >> wrong
         back takes_back 100
         call -k5 lost 5070 ended.xml || echo lost >> wrong
         back lost 100
         call -k5 long 5070 stays.xml & caller=$!
         live 1 100 || echo stays >> wrong
         id=$(curl --silent $api/calls | sed 's/.*\"calls\":\\[{{\"id\":\"\\([^\"]*\\)\".*/\\1/')
         curl --silent --request DELETE $api/calls/$id > deleted
         back deleted 100
         kill $caller || true; wait $caller || true
         timeout -s KILL 3 sipp 192.0.2.1:5060 -i 192.0.2.66 -p 5072 -m 1 -nostdin -s long -sf stays.xml > /dev/null 2>&1 & gone=$!
         live 1 100 || echo vanishes >> wrong
         wait $gone || true
         back vanished 200
         timeout -s KILL 3 sipp 192.0.2.1:5060 -i 192.0.2.66 -p 5074 -m 1 -nostdin -s long -sf unacknowledged.xml > /dev/null 2>&1 & gone=$!
         live 1 100 || echo unacknowledged >> wrong
         wait $gone || true
         back unacknowledged 450
         curl --silent $api/registrations > accounts
         curl --silent $api/calls > rows
         kill $milo || true; wait $milo || true",
        accounts = file.display(),
        plans = folder.join("plans").display(),
        registers = scenarios.join("account_registers.xml").display(),
    );
    let Some(output) = in_a_namespace(&folder, &script) else { return };
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
    assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stderr), read("err"));
    assert_eq!(read("wrong"), "", "{}{}", read("err"), read("takes_back.xml.heard"));
    assert_eq!(read("kept"), "", "{}", read("err"));
    let shown: Value = serde_json::from_str(&read("accounts")).expect("JSON");
    let limits = &shown["accounts"][0]["limits"];
    assert_eq!((&limits["calls_live"], &limits["refused"]), (&0.into(), &0.into()), "{shown}");
    let rows: Value = serde_json::from_str(&read("rows")).expect("JSON");
    let ended = rows["calls"].as_array().expect("calls").iter().filter(|row| row["ended"].is_string()).count();
    assert_eq!(ended, 8, "{rows}");
    fs::remove_dir_all(folder).ok();
}
