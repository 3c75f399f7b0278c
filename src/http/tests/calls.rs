//! The call log, calls that are asked for, and the plans that treat them.

use super::*;

#[tokio::test]
async fn the_call_log_is_listed_and_each_call_shown() {
    let house = House::new(healthy()).await;
    let call = house.call();
    call.answered(Stamp::from_millis(1_200));
    call.turn(NewTurn {
        at: Stamp::from_millis(2_000),
        heard: Some("Salama".into()),
        said: Some("Salama tompoko".into()),
        said_heard: Some("Salama".into()),
        said_by: None,
        heard_from: None,
        said_in: None,
        interrupted: true,
        confidence: Some(0.9),
        language: Some("mg".into()),
        mode: Some("local".into()),
        stages: Stages { stt_ms: Some(80.0), ..Stages::default() },
        recording_at_ms: Places { said_from: Some(2_040), ..Places::default() },
    });
    call.event(Stamp::from_millis(2_500), "digit", json!({"digit": "5"}));
    let id = call.key();
    call.end(Ending {
        at: Stamp::from_millis(3_000),
        reason: "BYE".into(),
        by: HangupBy::Caller,
        language: None,
        quality: Some(serde_json::json!([{"leg": "caller", "mos": 4.2}])),
        outcome: None,
    });
    drop([house.call(), house.call()]);
    assert!(house.log.flush(Duration::from_secs(10)).await);

    let one = house.json(&format!("/api/v1/calls/{id}")).await;
    assert_eq!(
        (&one["from"], &one["to"], &one["ended"]),
        (&json!("0341234567"), &json!("milo"), &json!("1970-01-01T00:00:03Z"))
    );
    assert_eq!(
        (&one["turns"][0]["said_heard"], &one["turns"][0]["stages"]["stt_ms"]),
        (&json!("Salama"), &json!(80.0))
    );
    assert_eq!(one["turns"][0]["recording_at_ms"], json!({ "heard_from": null, "heard_to": null, "said_from": 2_040 }));
    assert_eq!((&one["events"][0]["kind"], &one["turn_count"]), (&json!("digit"), &json!(1)));

    let page = house.json("/api/v1/calls?limit=2").await;
    assert_eq!(page["calls"].as_array().unwrap().len(), 2);
    let rest = house.json(&format!("/api/v1/calls?limit=2&cursor={}", page["next"].as_str().unwrap())).await;
    assert_eq!((rest["calls"].as_array().unwrap().len(), &rest["next"]), (1, &Value::Null));
}

#[tokio::test]
async fn the_log_is_searched_exported_and_a_number_forgotten() {
    let house = House::new(healthy()).await;
    let ended = |from: &str, at: i64, words: &str| {
        let call = house.log.begin(NewCall {
            call_id: "c".into(),
            incoming: true,
            from: from.into(),
            to: "milo".into(),
            dialplan: Some("assistant".into()),
            language: Some("mg".into()),
            started: Stamp::from_millis(at),
        });
        call.answered(Stamp::from_millis(at + 500));
        call.turn(heard(at, words));
        let (reason, by) = ("=cmd".into(), HangupBy::Caller);
        call.end(Ending {
            at: Stamp::from_millis(at + 61_500),
            reason,
            by,
            language: None,
            quality: None,
            outcome: None,
        });
    };
    for n in 0..450 {
        ended(if n % 3 == 0 { "+261341234567" } else { "0331111111" }, n * 1_000, "firy ny ora");
    }
    let page = house
        .json("/api/v1/calls?number=%2B26134*&text=ora+FIRY&outcome=answered&direction=in&live=false&limit=1")
        .await;
    assert_eq!((&page["calls"][0]["from"], page["next"].is_string()), (&json!("+261341234567"), true));
    let page = house.json("/api/v1/calls?since=1970-01-01T00:00:10Z&until=1970-01-01T03:00:12%2B03:00").await;
    assert_eq!(page["calls"].as_array().unwrap().len(), 2);

    let (status, head, csv) = house.get("/api/v1/calls/export?number=%2B261341234567", "").await;
    assert!(
        status == 200 && head.contains("content-type: text/csv") && head.contains("filename=\"calls.csv\""),
        "{head}"
    );
    let lines: Vec<_> = unchunked(&csv).lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 1 + 150);
    assert!(lines[0].starts_with("id,direction,from,to,"));
    assert!(
        lines[1].contains(",in,+261341234567,milo,assistant,mg,") && lines[1].contains(",61,,,'=cmd,caller,1,,,,,,,"),
        "{}",
        lines[1]
    );
    let (_, head, jsonl) = house.get("/api/v1/calls/export?format=jsonl", "").await;
    assert!(head.contains("application/jsonl"), "{head}");
    let calls: Vec<Value> = unchunked(&jsonl).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut ids: Vec<_> = calls.iter().map(|call| call["id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((calls.len(), ids.len()), (450, 450), "every call once, over three pages");
    assert!(calls.iter().all(|call| call["analysis"].is_null() && call["from"].is_string()), "{}", calls[0]);

    let (status, _, problem) = ask(&house, "DELETE", "/api/v1/calls", "", "").await;
    assert!(status == 400 && problem["detail"].as_str().unwrap().contains("?number="), "{problem}");
    // Rows that come right behind others are gathered a moment before they are written: these go too.
    ended("+261341234567", 451_000, "veloma");
    assert!(house.log.flush(Duration::from_secs(10)).await);
    ended("+261341234567", 452_000, "veloma");
    let (status, _, gone) = ask(&house, "DELETE", "/api/v1/calls?number=%2B261341234567", "", "").await;
    assert_eq!((status, gone), (200, json!({ "calls": 152, "messages": 0, "recordings": 0 })));
    assert_eq!(house.json("/api/v1/calls?number=%2B261341234567").await["calls"], json!([]));
    let deed = house.json("/api/v1/audit?limit=1").await["deeds"][0].clone();
    assert_eq!((&deed["action"], &deed["who"]), (&json!("calls.forget"), &json!("this machine")));
    assert!(!deed.to_string().contains("341234567"), "the number is what is to be forgotten: {deed}");
}

#[tokio::test]
async fn a_number_is_forgotten_with_its_recordings_or_not_at_all() {
    let house = House::new(healthy()).await;
    let day = house.folder.join("recordings/2026-11-29");
    std::fs::create_dir_all(day.join("stuck.ogg")).unwrap();
    std::fs::write(day.join("one.ogg"), "sound").unwrap();
    std::fs::write(day.join("another.ogg"), "sound").unwrap();
    for file in ["one.ogg", "stuck.ogg"] {
        let call = house.call();
        call.recording(&format!("2026-11-29/{file}"));
        call.end(Ending {
            at: Stamp::from_millis(3_000),
            reason: "BYE".into(),
            by: HangupBy::Caller,
            language: None,
            quality: None,
            outcome: None,
        });
    }
    let forget = || ask(&house, "DELETE", "/api/v1/calls?number=0341234567", "", "");
    // A file that cannot be deleted is still named by its call.
    let (status, head, problem) = forget().await;
    assert!(head.contains("retry-after: 5"), "{head}");
    assert!(status == 503 && problem["detail"].as_str().unwrap().starts_with("1 recordings"), "{problem}");
    assert_eq!(house.json("/api/v1/calls?number=0341234567").await["calls"].as_array().unwrap().len(), 2);
    std::fs::remove_dir(day.join("stuck.ogg")).unwrap();
    std::fs::write(day.join("stuck.ogg"), "sound").unwrap();
    let (status, _, gone) = forget().await;
    assert_eq!((status, gone), (200, json!({ "calls": 2, "messages": 0, "recordings": 1 })));
    let left: Vec<_> = std::fs::read_dir(&day).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(left, ["another.ogg"], "another number's");
}

/// A body in chunks (RFC 9112 section 7.1) as one.
fn unchunked(body: &str) -> String {
    let (mut whole, mut rest) = (String::new(), body);
    while let Some((size, behind)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap();
        if size == 0 {
            break;
        }
        whole.push_str(&behind[..size]);
        rest = &behind[size + 2..];
    }
    whole
}

#[tokio::test]
async fn a_call_is_placed_once_and_not_beyond_what_is_allowed() {
    let mut house = House::new(healthy()).await;
    let call = |more: Value| {
        let mut call = json!({ "to": "sip:100@127.0.0.1:9", "plan": "sales" });
        call.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        call.to_string()
    };
    for (more, status, said) in [
        (json!({ "plan": "sale" }), 422, "plan \"sale\" is not the name of a plan; there are sales, hidden, others"),
        (json!({ "plan": null }), 422, "none is called \"outgoing\""),
        (json!({ "plan": "others" }), 422, "the plan \"others\" refuses its calls"),
        (json!({ "to": "tel:+261" }), 422, "is neither a number"),
        (json!({ "to": "" }), 422, "is neither a number"),
        (json!({ "to": "sip:1@h;transport=carrier-pigeon" }), 422, "is neither a number"),
        (json!({ "to": "034" }), 422, "there is none with a gateway"),
        (json!({ "to": "034", "trunk": "orange" }), 422, "trunk \"orange\" is not the name"),
        (json!({ "to": "034", "trunk": vec!["orange"; 9] }), 422, "over 1 to 8 trunks"),
        (json!({ "trunk": "orange" }), 422, "a SIP address over the one that it leads to"),
        (json!({ "variables": { "x": "1" } }), 422, "no plan knows the variable \"x\""),
        (json!({ "variables": { "name": "x".repeat(1_001) } }), 422, "longer than 1000"),
        (json!({ "variables": { "name": [] } }), 422, "neither a text nor a number"),
        (json!({ "caller_id": "<sip:boss@bank>" }), 422, "is no number or name"),
        (json!({ "ring_timeout_s": 0 }), 422, "not within 1 to 180"),
        (json!({ "idempotency_key": "" }), 400, "1 to 255 characters"),
        (json!({ "idempotency_key": "x".repeat(256) }), 400, "1 to 255 characters"),
        (json!({ "whom": "1" }), 422, "unknown field `whom`"),
    ] {
        let (got, told) = house.post("/api/v1/calls", &call(more.clone())).await;
        assert!(got == status && told["detail"].as_str().unwrap().contains(said), "{more}: {got} {told}");
    }
    assert_eq!(house.post("/api/v1/calls", "").await.0, 400);
    assert!(house.placements.try_recv().is_err(), "nothing of it was placed");

    let wanted = call(json!({ "idempotency_key": "k", "variables": { "name": 7 } }));
    let (status, first) = house.post("/api/v1/calls", &wanted).await;
    assert_eq!((status, &first["to"], &first["plan"]), (202, &json!("100"), &json!("sales")), "{first}");
    let row = house.json(&format!("/api/v1/calls/{}", first["id"].as_str().unwrap())).await;
    assert_eq!((&row["direction"], &row["from"], &row["outcome"]), (&json!("out"), &json!("milo"), &Value::Null));
    assert_eq!(house.post("/api/v1/calls", &wanted).await, (200, first));
    let (status, told) = house.post("/api/v1/calls", &call(json!({ "idempotency_key": "k" }))).await;
    assert!(status == 422 && told["detail"].as_str().unwrap().contains("stands for another call"), "{told}");
    let placed = house.placements.try_recv().expect("one call");
    assert!(house.placements.try_recv().is_err(), "and only one");

    // Two may be up, and the first is not over.
    let other = call(json!({ "to": "sip:200@127.0.0.1:9" }));
    assert_eq!(house.post("/api/v1/calls", &other).await.0, 202);
    let (status, told) = house.post("/api/v1/calls", &other).await;
    assert!(status == 503 && told["detail"].as_str().unwrap().contains("[limits] calls"), "{told}");
    drop(placed);
    assert_eq!(house.post("/api/v1/calls", &other).await.0, 202);
    house.placements.close();
    let (status, told) = house.post("/api/v1/calls", &call(json!({ "to": "sip:300@127.0.0.1:9" }))).await;
    assert!(status == 503 && told["detail"].as_str().unwrap().contains("Milo is ending"), "{told}");
}

#[tokio::test]
async fn dialplans_are_listed_tested_and_reloaded() {
    let house = House::new(healthy()).await;
    let list = house.json("/api/v1/dialplans").await;
    assert_eq!((&list["edition"], &list["faults"]), (&json!(1), &json!([])));
    assert_eq!((&list["plans"][0]["name"], &list["plans"][1]["line"]), (&json!("sales"), &json!(11)), "{list}");
    assert_eq!(list["plans"][0]["verbs"], json!(["answer", "echo"]));

    let call = json!({
        "from": "034", "to": "0201", "trunk": "orange", "headers": {"x-queue": "sales"}, "at": "2026-11-30T10:00:00+03:00",
    });
    let (status, told) = house.post("/api/v1/dialplans/test", &call.to_string()).await;
    assert_eq!((status, &told["plan"], &told["plans"][0]["runs"]), (200, &json!("sales"), &json!(true)));
    assert_eq!(told["plans"][2]["why"], json!("\"sales\" comes before it and fits"));
    let (_, told) = house.post("/api/v1/dialplans/test", r#"{"from": "034", "to": "0201"}"#).await;
    assert_eq!(
        (&told["plan"], &told["plans"][0]["why"]),
        (&json!("others"), &json!("trunk: the call comes over none"))
    );
    let asserted = r#"{"from": "anonymous", "asserted": "0399", "to": "777"}"#;
    let (_, told) = house.post("/api/v1/dialplans/test", asserted).await;
    assert_eq!(told["plan"], json!("hidden"), "who shows no number is known by the one that is asserted");
    for wrong in [r#"{"to": "1", "at": "noon"}"#, r#"{"too": "1"}"#, "", "[]"] {
        let (status, told) = house.post("/api/v1/dialplans/test", wrong).await;
        assert!([400, 422].contains(&status), "{wrong}: {status} {told}");
    }

    let file = house.folder.join("plans/plans.toml");
    std::fs::write(&file, PLANS.replace("echo", "ecko")).unwrap();
    let (status, told) = house.post("/api/v1/dialplans/reload", "").await;
    assert_eq!(status, 422);
    let detail = told["detail"].as_str().unwrap();
    assert!(detail.contains("plans.toml, line 9: plan \"sales\"") && detail.contains("ecko"), "{detail}");
    let list = house.json("/api/v1/dialplans").await;
    assert_eq!((&list["edition"], &list["faults"][0]["line"]), (&json!(1), &json!(9)));
    std::fs::write(&file, PLANS.replace("sales", "orders")).unwrap();
    let (status, told) = house.post("/api/v1/dialplans/reload", "").await;
    // The keeper itself may have looked in between, and made an edition of it.
    assert!(told["edition"].as_u64() > Some(1), "{told}");
    assert_eq!((status, &told["plans"][0]["name"]), (200, &json!("orders")));
    assert_eq!(house.get("/api/v1/dialplans", "Authorization: Bearer wrong\r\n").await.0, 200, "no key is set");
}

#[tokio::test]
async fn dialplans_are_shown_to_those_with_the_key_only() {
    let http = config::Http { api_key: Some(Secret::new("0123456789abcdef")), ..config::Http::default() };
    let house = House::with(healthy(), &http).await;
    let wrong = "Authorization: Bearer wrong\r\n";
    assert_eq!(house.get("/api/v1/dialplans", wrong).await.0, 401);
    for path in ["/api/v1/dialplans/test", "/api/v1/dialplans/reload"] {
        let head = format!("POST {path} HTTP/1.1\r\nHost: {}\r\n{wrong}Connection: close\r\n", house.address);
        let answer = house.raw(&format!("{head}Content-Length: 0\r\n\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 401"), "{path}: {answer}");
    }
}

#[tokio::test]
async fn an_export_has_what_was_written_down_of_each_call() {
    let house = House::new(healthy()).await;
    let (analysed, failed, plain) = (house.call(), house.call(), house.call());
    let findings = Findings {
        summary: Some("=1+1, \"vidiny\"".into()),
        outcome: Some("appointment".into()),
        sentiment: Some("neutral".into()),
        tags: vec!["price".into(), "hours".into()],
        fields: json!({ "seats": 2 }).as_object().cloned().unwrap(),
    };
    let at = Stamp::from_millis(5_000);
    house.log.analysed(analysed.key(), Analysis { at, findings: findings.clone(), failed: None });
    let nothing = Analysis { at, findings: Findings::default(), failed: Some("it is no JSON".into()) };
    house.log.analysed(failed.key(), nothing);
    assert!(house.log.flush(Duration::from_secs(10)).await);

    let csv = unchunked(&house.get("/api/v1/calls/export", "").await.2);
    let mut table = csv::Reader::from_reader(csv.as_bytes());
    let head = table.headers().unwrap().clone();
    let rows: Vec<_> = table.records().map(Result::unwrap).collect();
    let cells = |key: crate::store::Key| -> Vec<String> {
        let row = rows.iter().find(|row| row[0] == key.to_string()).unwrap();
        assert_eq!((head.len(), row.len()), (22, 22));
        row.iter().skip(16).map(str::to_owned).collect()
    };
    assert_eq!(
        head.iter().skip(16).collect::<Vec<_>>(),
        ["summary", "analysed_outcome", "sentiment", "tags", "fields", "analysis_failed"]
    );
    let written = ["'=1+1, \"vidiny\"", "appointment", "neutral", "[\"price\",\"hours\"]", "{\"seats\":2}", ""];
    assert_eq!(cells(analysed.key()), written);
    assert_eq!(cells(failed.key()), ["", "", "", "", "", "it is no JSON"]);
    assert_eq!(cells(plain.key()), [""; 6]);

    let jsonl = unchunked(&house.get("/api/v1/calls/export?format=jsonl", "").await.2);
    let calls: Vec<Value> = jsonl.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |key: crate::store::Key| calls.iter().find(|call| call["id"] == json!(key)).unwrap();
    assert_eq!(of(analysed.key())["analysis"]["tags"], json!(findings.tags));
    // As the call itself shows it.
    let shown = house.json(&format!("/api/v1/calls/{}", analysed.key())).await;
    assert_eq!(of(analysed.key())["analysis"], shown["analysis"]);
    assert_eq!(
        (&of(failed.key())["analysis"]["failed"], &of(plain.key())["analysis"]),
        (&json!("it is no JSON"), &Value::Null)
    );
}

#[tokio::test]
async fn what_is_known_of_callers_is_listed_and_read_by_their_numbers_until_they_are_forgotten() {
    let house = House::new(healthy()).await;
    let far = Stamp::from_millis(Stamp::now().millis() + 86_400_000);
    let know = |number: &str, started: i64, until: Stamp| {
        let call = house.log.begin(NewCall {
            call_id: "m".into(),
            incoming: true,
            from: number.into(),
            to: "milo".into(),
            dialplan: None,
            language: None,
            started: Stamp::from_millis(started),
        });
        let (reason, by) = ("hung up".into(), HangupBy::Caller);
        let at = Stamp::from_millis(started + 9_000);
        call.end(Ending { at, reason, by, language: None, quality: None, outcome: None });
        house.log.remembered(
            call.key(),
            NewMemory {
                number: number.into(),
                until,
                name: Some("Rasoa".into()),
                language: "mg".into(),
                summary: Some("Le prix.".into()),
                is_local: false,
            },
        );
        call.key()
    };
    know("+261341111111", 1_000, far);
    let second = know("0342222222", 2_000, far);
    know("0343333333", 3_000, Stamp::from_millis(4_000));

    let first = house.json("/api/v1/memories?limit=1").await;
    let newest = json!({
        "number": "0342222222", "call": second, "last_call": "1970-01-01T00:00:02Z", "known_until": far,
        "name": "Rasoa", "language": "mg", "summary": "Le prix.", "local": false,
    });
    assert_eq!(first["memories"], json!([newest]), "what is too old is known no more");
    let rest = house.json(&format!("/api/v1/memories?cursor={}", first["next"].as_str().unwrap())).await;
    assert_eq!((rest["memories"].as_array().unwrap().len(), &rest["next"]), (1, &Value::Null), "{rest}");
    assert_eq!(house.json("/api/v1/memories/0342222222").await, newest);
    assert_eq!(house.json("/api/v1/memories/%2B261341111111").await["number"], "+261341111111");
    for (path, status) in [
        ("/api/v1/memories/0343333333", 404),
        ("/api/v1/memories/03", 404),
        ("/api/v1/memories/%00", 404),
        ("/api/v1/memories?limit=0", 400),
        ("/api/v1/memories?number=0342222222", 400),
        ("/api/v1/memories?cursor=0193a5e2-0000-7000-8000-000000000000", 400),
    ] {
        assert_eq!(house.problem(path).await.0, status, "{path}");
    }
    assert_eq!(ask(&house, "DELETE", "/api/v1/calls?number=0342222222", "", "").await.0, 200);
    assert_eq!(house.problem("/api/v1/memories/0342222222").await.0, 404);
}
