//! Replies that are at their longest, and requests that a server does not take.

use std::time::Duration;

use serde_json::{Value, json};

use super::{WORDS, asking, chat, fallbacks, hours};
use crate::{
    hosted::server::{Conduct, KEY, Server},
    house::{Answer, get, metric, send, stop},
};
use milo::bench::Running;

fn complete(milo: &Running, max_tokens: usize) -> Answer {
    let body =
        json!({ "model": "demo", "messages": [{ "role": "user", "content": "salama" }], "max_tokens": max_tokens });
    send(milo, ("POST", "/v1/chat/completions"), &[], &body)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_at_its_longest_is_told_to_be_and_half_a_translation_is_none() {
    for engine in ["anthropic", "openai"] {
        let server = Server::start(Conduct::Longest(WORDS)).await;
        let milo = asking("longest", &server, engine, &[]).await;
        let finish = || complete(&milo, 4).body["choices"][0]["finish_reason"].clone();
        let translate = || {
            send(
                &milo,
                ("POST", "/api/v1/translate"),
                &[],
                &json!({ "text": "Le verre est cassé", "source": "fr", "target": "mg" }),
            )
        };
        let (_, answer) = chat(&milo, &json!({ "message": "salama" }));
        assert_eq!((&answer["reply"], &answer["cut"]), (&WORDS.into(), &true.into()), "{engine}: {answer}");
        assert_eq!(complete(&milo, 400).body["choices"][0]["finish_reason"], "length", "{engine}");
        let half = translate();
        assert!(
            half.status == 422 && half.body["detail"].as_str().is_some_and(|says| says.contains("shorter")),
            "{half:?}"
        );

        // More pieces than tokens were allowed; a server's piece is no token, and the server says that it has ended.
        server.now(Conduct::says(WORDS));
        assert_eq!(
            (finish(), chat(&milo, &json!({ "message": "salama" })).1["cut"].clone()),
            ("stop".into(), false.into()),
            "{engine}"
        );
        let whole = translate();
        assert_eq!((whole.status, &whole.body["translation"]), (200, &Value::from(WORDS)), "half of it was not kept");
        stop(milo).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_says_how_many_tokens_a_reply_took_and_nobody_says_it_in_its_place() {
    for engine in ["anthropic", "openai"] {
        let server = Server::start(Conduct::says(WORDS)).await;
        let milo = asking("tokens", &server, engine, &[]).await;
        let counted = json!({ "prompt_tokens": 25, "completion_tokens": 15, "total_tokens": 40 });
        assert_eq!(complete(&milo, 64).body["usage"], counted, "{engine}");
        if engine == "openai" {
            assert_eq!(server.asked()[0].body["stream_options"], json!({ "include_usage": true }));
        }
        for (direction, tokens) in [("prompt", 25.0), ("completion", 15.0)] {
            let name = format!("milo_tokens_total{{direction=\"{direction}\",mode=\"cloud\"}}");
            assert_eq!(metric(&milo, &name).await, tokens, "{engine}");
        }
        // One that does not say it, and one that is cut: pieces are no tokens.
        let silent = match engine {
            "anthropic" => {
                r#"data: {"type":"content_block_delta","delta":{"type":"text_delta","text":"Eny"}}

data: {"type":"message_stop"}

"#
            }
            _ => {
                "data: {\"choices\":[{\"delta\":{\"content\":\"Eny\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n"
            }
        };
        server.now(Conduct::Sends(silent.into()));
        let told = complete(&milo, 64);
        assert_eq!(
            (&told.body["choices"][0]["message"]["content"], told.body.get("usage")),
            (&"Eny".into(), None),
            "{told:?}"
        );
        stop(milo).await;
    }
    // The local model's, of a reply that nobody waits for to its end too.
    let server = Server::start(Conduct::Hangs).await;
    let milo = asking("tokens-local", &server, "openai", &[("MILO__ENGINES__LLM__COUNT_TOKENS", "false")]).await;
    assert_eq!(hours(&milo).0["mode"], "local");
    assert_eq!(server.asked()[0].body.get("stream_options"), None);
    assert!(metric(&milo, "milo_tokens_total{direction=\"prompt\",mode=\"local\"}").await > 10.0);
    assert!(metric(&milo, "milo_tokens_total{direction=\"completion\",mode=\"local\"}").await > 5.0);
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_a_server_does_not_take_is_its_askers_affair() {
    let server = Server::start(Conduct::says(WORDS)).await;
    let milo = asking("unfit", &server, "openai", &[]).await;
    let says = "{\"error\":{\"message\":\"too long for sk-of-a-scenario-0123456789\"}}";
    for status in [400, 413, 422] {
        server.now(Conduct::Refuses(status, ("content-type", "application/json"), says));
        let before = metric(&milo, &fallbacks("unfit")).await;
        let told = complete(&milo, 64);
        let message = told.body["error"]["message"].as_str().unwrap_or_default();
        assert_eq!(told.status, 400, "{told:?}");
        assert!(message.contains(&format!("({status}): \"too long for ***\"")) && !message.contains(KEY), "{message}");
        // Who chose nothing of it is answered.
        assert_eq!(hours(&milo).0["mode"], "local");
        assert_eq!(metric(&milo, &fallbacks("unfit")).await, before + 2.0, "{status}");
        assert_eq!(get(&milo, "/api/v1/health")["status"], "healthy", "{status}");
    }
    let asked = server.asked().len();
    let told = complete(&milo, 1_000_000);
    let message = told.body["error"]["message"].as_str().unwrap_or_default();
    assert!(told.status == 422 && message.contains("4096"), "{told:?}");
    assert_eq!(server.asked().len(), asked, "nobody was asked");
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_without_an_end_ends_where_it_was_to_be_over() {
    // A minute of tokens that come as quickly as they are read; the persona's replies have 96.
    let endless = "misokatra isan'andro ".repeat(10_000).leak();
    let server = Server::start(Conduct::says(endless)).await;
    for engine in ["anthropic", "openai"] {
        let milo = asking(&format!("endless-{engine}"), &server, engine, &[]).await;
        let (answer, took) = hours(&milo);
        let reply = answer["reply"].as_str().expect("a reply");
        assert!((1_000..4_000).contains(&reply.len()), "{} bytes", reply.len());
        assert_eq!(answer["cut"], true, "{answer}");
        assert!(took < Duration::from_secs(10), "{took:?}");
        stop(milo).await;
    }
    server.left(2).await;
}
