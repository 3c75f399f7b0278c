//! Callers who want to be called back, and are: by Milo itself, at the time that was agreed, at another Milo over real sockets; or by a person,
//! where Milo cannot.

use std::{fs, path::Path, time::Duration};

use milo::bench::Running;
use serde_json::{Value, json};
use tokio::{task::block_in_place, time::sleep};

use crate::{
    after::{program, told_of},
    calling_out::{event, trunk_to},
    hosted::server::{Conduct, Server},
    house::{PROGRAM, answered, ended, events, folder, get, newest_call, recording, send, stop, until, with_plans},
    telephone::Telephone,
    tools::results,
};

/// Those who call Milo have this number.
const OWN: &str = "0341234567";

const FAR: &str = "
[[plan]]
name = 'caller'
number = '03*'
language = 'mg'
actions = [{ answer = {} }, { digits = {} }, { digits = {} }]
";

/// What callers can want by these numbers, and what Milo does when it calls back: it knows the number of the order that it is about.
const PLANS: &str = "
[[plan]]
name = 'milo'
number = 'milo'
language = 'mg'
actions = [{ answer = {} }, { converse = { persona = 'office' } }]

[[plan]]
name = 'back'
language = 'mg'
variables = ['subject', 'language', 'order']
actions = [{ answer = {} }, { send_digits = { digits = '{{order}}#' } }, { wait = { seconds = 1 } }, { hangup = {} }]

[[plan]]
name = 'bad-time'
number = 'bad-time'
language = 'mg'
actions = [{ answer = {} }, { request = { kind = 'call_back', wanted = 'rehefa malalaka ianareo', campaign = 'callbacks' } }]

[[plan]]
name = 'late'
number = 'late'
language = 'mg'
actions = [{ answer = {} }, { request = { kind = 'call_back', wanted = 'afaka roa ora', campaign = 'callbacks' } }]

[[plan]]
name = 'abroad'
number = 'abroad'
language = 'mg'
actions = [{ answer = {} }, { request = { kind = 'call_back', telephone = '+33123456789', wanted = 'afaka roa ora', campaign = 'callbacks' } }]

[[plan]]
name = 'two'
number = 'two'
language = 'mg'
actions = [
  { answer = {} },
  { request = { kind = 'call_back', telephone = '0330000001', wanted = 'afaka roa ora', campaign = 'callbacks' } },
  { request = { kind = 'call_back', telephone = '0330000002', wanted = 'afaka roa ora', campaign = 'callbacks' } },
]

[[plan]]
name = 'elsewhere'
number = 'elsewhere'
language = 'mg'
actions = [{ answer = {} }, { request = { kind = 'call_back', wanted = 'afaka roa ora', campaign = 'others' } }]
";

const TOOL: &str = "
about = 'Calls the caller back.'
takes = [{ name = 'when' }, { name = 'order' }]
actions = [{ request = { kind = 'call_back', wanted = '{{when}}', text = '{{order}}', campaign = 'callbacks' } }]
[mg]
says = 'Hiantso anao aho.'
[fr]
says = 'Je vous rappelle.'
";

const IN_A_MINUTE: &[(&str, &str)] = &[("call_me", r#"{"when": "afaka iray minitra", "order": "4711"}"#)];
const SOME_TIME: &[(&str, &str)] = &[("call_me", r#"{"when": "indray andro any", "order": "4711"}"#)];

/// A Milo on this folder that calls over a trunk to another; it can be started again.
async fn near(at: &Path, far: &Running, server: &Server) -> Running {
    for within in ["plans/personas", "plans/tools"] {
        fs::create_dir_all(at.join(within)).expect("a folder");
    }
    let demo = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("dialplans/personas/demo.toml"));
    let persona = format!("tools = ['call_me']\n{}", demo.expect("the persona that ships"));
    fs::write(at.join("plans/personas/office.toml"), persona).expect("written");
    fs::write(at.join("plans/tools/call_me.toml"), TOOL).expect("written");
    fs::write(at.join("plans/plans.toml"), PLANS).expect("written");
    let plans = at.join("plans").to_string_lossy().into_owned();
    let trunks = format!("[{}]", trunk_to(far, "carrier", "deny = ['+33']")).replace('\'', "\"");
    let own = [
        ("MILO__DIALPLANS__PATH", plans.as_str()),
        ("MILO__SIP__TRUNKS", &trunks),
        // These telephones are silent for long.
        ("MILO__MEDIA__RTP_TIMEOUT_S", "120"),
        // One request a turn.
        ("MILO__CONVERSATION__EARLY_REPLIES", "false"),
    ];
    let asks = server.variables("openai");
    let asks: Vec<_> = asks.iter().map(|(name, value)| (*name, value.as_str())).collect();
    Running::start(Path::new(PROGRAM), at, &[&own[..], &asks].concat()).await.expect("Milo starts")
}

/// Adds the campaign that stands. Returns its address.
fn standing(milo: &Running) -> String {
    let order = json!({ "name": "callbacks", "standing": true, "trunk": "carrier", "plan": "back" });
    let added = send(milo, ("POST", "/api/v1/campaigns"), &[], &order);
    assert_eq!((added.status, &added.body["total"]), (201, &0.into()), "{added:?}");
    let again = send(milo, ("POST", "/api/v1/campaigns"), &[], &order);
    assert!(again.status == 422 && again.body["detail"].to_string().contains("stands already"), "{again:?}");
    added.header("location").expect("where it is").to_owned()
}

/// Somebody asks Milo's model something and hears what comes of it. The call, as the log has it.
async fn asks_the_model(milo: &Running) -> Value {
    let mut caller = block_in_place(|| Telephone::call(milo, "milo"));
    let id = get(milo, "/api/v1/calls")["calls"][0]["id"].clone();
    until(milo, &id, "greeted", |call| call["turns"][0]["said"].is_string()).await;
    block_in_place(|| caller.says(&recording("mg_price.wav")));
    let is_answered = |call: &Value| answered(call).first().is_some_and(|turn| turn["said"].is_string());
    until(milo, &id, "answered", is_answered).await;
    block_in_place(|| caller.hangs_up());
    ended(milo, &id).await
}

/// The newest request, once one is so.
async fn request(milo: &Running, state: &str) -> Value {
    let mut page = Value::Null;
    for _ in 0..1_200 {
        page = get(milo, &format!("/api/v1/requests?state={state}"));
        if page["requests"][0].is_object() {
            return page["requests"][0].clone();
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("within two minutes no request was {state}: {page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_it_is_called_back_at_that_time_by_a_plan_that_knows_why_and_over_a_restart() {
    let (server, (port, told)) = (Server::start(Conduct::says("Eny.")).await, program().await);
    let far = with_plans("call-back-far", FAR).await;
    let at = folder("call-back");
    let target = format!("[[webhooks]]\nname = 'crm'\nurl = 'http://127.0.0.1:{port}/'\nallow_private = true\n");
    fs::write(at.join("milo.toml"), target).expect("written");
    let milo = near(&at, &far, &server).await;
    let campaign = standing(&milo);
    server.then([Conduct::Calls(IN_A_MINUTE), Conduct::says("Eny.")]);
    let logged = asks_the_model(&milo).await;
    let wish = request(&milo, "open").await;
    assert_eq!(answered(&logged)[0]["said"], "Hiantso anao aho.", "{logged}");
    let said_at = event(&logged, "requested")["call_back_at"].as_str().expect("a moment");
    assert_eq!(said_at.len(), "2026-12-01 10:00".len(), "{logged}");
    assert_eq!((&wish["telephone"], &wish["call_id"]), (&OWN.into(), &logged["id"]), "{wish}");
    let due = wish["due"].as_str().expect("a moment").to_owned();
    let ordered = &told_of(&told, "requested", 1).await[0];
    assert_eq!((&ordered["data"]["request"], &ordered["data"]["due"]), (&wish["id"], &due.clone().into()), "{ordered}");

    milo.stop().await.expect("Milo ends by itself");
    let milo = near(&at, &far, &server).await;
    let done = request(&milo, "done").await;
    assert_eq!((&done["id"], &done["done_by"], &done["due"]), (&wish["id"], &"Milo".into(), &Value::Null), "{done}");
    let back = ended(&milo, &done["call_back_id"]).await;
    assert_eq!((&back["to"], &back["dialplan"]), (&OWN.into(), &"back".into()), "{back}");
    assert!(back["started"].as_str().expect("a moment") >= due.as_str(), "not before {due}: {back}");
    let heard = ended(&far, &get(&far, "/api/v1/calls")["calls"][0]["id"]).await;
    let keys: String = events(&heard, "digit").iter().filter_map(|key| key["digit"].as_str()).collect();
    assert_eq!(keys, "4711#", "{heard}");
    let over = &told_of(&told, "called_back", 1).await[0];
    assert_eq!(
        (&over["call"], &over["data"]["request"], &over["data"]["state"], &over["data"]["call_back"]),
        (&logged["id"], &wish["id"], &"done".into(), &back["id"]),
        "{over}"
    );
    let stands = get(&milo, &campaign);
    assert_eq!((&stands["state"], &stands["counts"]["done"]), (&"running".into(), &1.into()), "{stands}");

    // No moment is understood: the file's words would not be true, and the model finds its own.
    server.then([Conduct::Calls(SOME_TIME), Conduct::says("Hisy olona hiantso anao.")]);
    let logged = asks_the_model(&milo).await;
    let wish = request(&milo, "open").await;
    assert_eq!((&wish["due"], &wish["call_back_id"]), (&Value::Null, &Value::Null), "{wish}");
    assert_eq!(answered(&logged)[0]["said"], "Hisy olona hiantso anao.", "{logged}");
    let asked = server.asked();
    let result = results(&asked[asked.len() - 1].body).concat();
    assert!(result.contains("a person calls back") && result.contains("no moment to come"), "{result}");
    stop(milo).await;
    stop(far).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_milo_cannot_call_back_a_person_does_and_each_call_orders_one_at_most() {
    let server = Server::start(Conduct::says("Eny.")).await;
    let far = with_plans("call-back-not-far", FAR).await;
    let milo = near(&folder("call-back-not"), &far, &server).await;
    let campaign = standing(&milo);
    let known = || get(&milo, "/api/v1/calls")["calls"].as_array().expect("calls").len();
    let asks = async |number: &str| {
        let before = known();
        block_in_place(|| Telephone::call(&milo, number).answers("BYE", "200 OK"));
        // It is over sooner than it is in the log: the newest there may be the one before.
        for _ in 0..100 {
            if known() > before {
                break;
            }
            sleep(Duration::from_millis(100)).await;
        }
        newest_call(&milo).await
    };
    let refused = |row: &Value, nth: usize, why: &str| {
        let event = events(row, "requested")[nth];
        assert!(event["call_back_at"].is_null(), "{row}");
        assert!(event["why"].as_str().is_some_and(|said| said.contains(why)), "no {why:?}: {row}");
    };
    refused(&asks("bad-time").await, 0, "no moment to come was understood");
    refused(&asks("abroad").await, 0, "this number may not be called");
    refused(&asks("elsewhere").await, 0, "calls back are not placed now");
    let unwanted = json!({ "number": OWN });
    assert_eq!(send(&milo, ("POST", "/api/v1/campaigns/do-not-call"), &[], &unwanted).status, 201);
    refused(&asks("late").await, 0, "not called");
    let path = format!("/api/v1/campaigns/do-not-call/{OWN}");
    assert_eq!(send(&milo, ("DELETE", &path), &[], &Value::Null).status, 204);
    let row = asks("two").await;
    assert!(events(&row, "requested")[0]["call_back_at"].is_string(), "{row}");
    refused(&row, 1, "one number");
    let open = get(&milo, "/api/v1/requests?state=open")["requests"].clone();
    let due = open.as_array().expect("requests").iter().filter(|request| request["due"].is_string()).count();
    assert_eq!((open.as_array().expect("requests").len(), due), (6, 1), "a person has the others: {open}");

    // Who asks again is called once, at the later moment; and not at all once somebody has done both.
    asks("late").await;
    asks("late").await;
    let counts = get(&milo, &campaign)["counts"].clone();
    assert_eq!((&counts["total"], &counts["waiting"]), (&2.into(), &2.into()), "{counts}");
    for cancelled in 0..=1 {
        let wish = request(&milo, "open").await;
        let path = format!("/api/v1/requests/{}", wish["id"].as_str().expect("an identifier"));
        let done = send(&milo, ("POST", &path), &[], &json!({ "done": true })).body;
        assert_eq!((&done["state"], &done["due"]), (&"done".into(), &Value::Null), "{done}");
        assert_eq!(get(&milo, &campaign)["counts"]["cancelled"], cancelled, "{done}");
    }
    assert!(get(&far, "/api/v1/calls")["calls"].as_array().expect("calls").is_empty(), "nobody was called");
    assert!(send(&milo, ("POST", &format!("{campaign}/cancel")), &[], &Value::Null).status == 200);
    refused(&asks("late").await, 0, "calls back are not placed now");
    stop(milo).await;
    stop(far).await;
}
