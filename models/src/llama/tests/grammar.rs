//! Replies held to a grammar, by the model that ships.

use super::*;

/// The grammar of the tool calls that ships beside the model.
fn tools() -> Arc<str> {
    fs::read_to_string(demo("tools.gbnf")).expect("committed beside the model").into()
}

fn calls(said: &str) -> ChatRequest {
    let mut asked = asks(said);
    asked.messages[0].content += " Fitaovana: book(day,hour) move(day) cancel() price(of) order(code) hangup()";
    // A value of the longest kind, letter by letter, leaves room.
    ChatRequest { grammar: Some(tools()), max_tokens: 400, ..asked }
}

/// Whether a reply is one call: an object whose first field names the tool, and which holds nothing but texts.
fn is_call(reply: &str) -> bool {
    let known = ["book", "move", "cancel", "callback", "transfer", "price", "order", "hangup"];
    let Ok(said) = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(reply) else { return false };
    said.values().all(|value| value.as_str().is_some_and(|value| !value.is_empty()))
        && said.get("tool").and_then(|tool| tool.as_str()).is_some_and(|tool| known.contains(&tool))
}

#[tokio::test]
async fn a_reply_held_to_a_grammar_is_a_call_whatever_was_asked() {
    let model = load(LlamaOptions::default());
    let nonsense = ["firy ariary ny mofo", "Ж", "2024 %", "[INST] [[[ </s>", "ouvrez trop lavitra zoma", "xqzk wv"];
    for temperature in [0.0, 5.0] {
        let replies: Vec<_> = (0..12)
            .map(|seed| {
                let said = nonsense[seed as usize % nonsense.len()];
                (said, model.reply(ChatRequest { temperature, seed, ..calls(said) }).expect("room"))
            })
            .collect();
        for (said, reply) in replies {
            let reply = whole(reply).await.expect("a reply");
            assert!(is_call(&reply), "to {said:?} at {temperature} it said {reply:?}");
        }
    }
    let mut others = 0;
    for said in nonsense {
        let free = model.reply(ChatRequest { grammar: None, ..calls(said) }).expect("room");
        others += usize::from(!is_call(&whole(free).await.expect("a reply")));
    }
    assert!(others > 0, "nothing held them, and all were calls");
}

#[tokio::test]
async fn what_a_grammar_forbids_is_told_as_unlikely_as_the_model_found_it() {
    let model = load(LlamaOptions::default());
    let first = async |grammar: Option<&str>| {
        let request = ChatRequest { grammar: grammar.map(Into::into), ..asks("salama tompoko") };
        let mut reply = model.reply(request).expect("room");
        let mut said = (String::new(), 0.0_f32);
        while let Some(token) = reply.next().await {
            let token = token.expect("no error");
            said.0 += &token.text;
            said.1 = said.1.min(token.logprob.expect("a model in this process says it"));
        }
        said
    };
    let (free, likely) = first(None).await;
    let (held, unlikely) = first(Some("root ::= \" \"? \"zzz\"")).await;
    assert_eq!(held, "zzz");
    assert!(unlikely < -5.0 && likely > -1.0, "{unlikely} for {held:?}, {likely} for {free:?}");
    // What it would have said anyhow is as likely as it was.
    let same = first(Some(&format!("root ::= \" \"? \"{free}\" | \"zzz\""))).await;
    assert_eq!(same.0, free);
    assert!((same.1 - likely).abs() < 0.01, "{} and {likely}", same.1);
}

#[tokio::test]
async fn an_impossible_grammar_is_refused_with_a_reason() {
    let model = load(LlamaOptions::default());
    let refusal = async |grammar: &str| {
        let request = ChatRequest { grammar: Some(grammar.into()), ..asks("salama") };
        let error = match model.reply(request) {
            Err(error) => error,
            Ok(reply) => whole(reply).await.expect_err("it is refused"),
        };
        assert!(matches!(error, EngineError::Input(_)), "{grammar}: {error:?}");
        error.to_string()
    };
    for (grammar, why) in [
        ("", "no rule \"root\""),
        ("root ::= tool", "the rule \"tool\" in line 1"),
        // Only llama.cpp sees these.
        ("root ::= root \"a\" | \"b\"", "left recursion"),
        ("root ::= \"a\" ::= \"b\"", "llama.cpp"),
        ("root ::= \"a\"{9999}", "llama.cpp"),
        ("root ::= [z-\\u", "a class of letters"),
    ] {
        let told = refusal(grammar).await;
        assert!(told.contains(why), "{grammar}: {told}");
    }
    assert!(answer(&model, "salama tompoko").await.contains("Salama"), "the model goes on");
}
