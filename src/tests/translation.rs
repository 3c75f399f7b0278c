//! Translation over HTTP: by heart, by a model on a server, by translators, and by nobody where the small ones do not know it.

use serde_json::{Value, json};

use crate::{
    hosted::server::{Conduct, Server},
    house::{milo, send, stop},
};
use milo::bench::Running;

fn translate(milo: &Running, body: &Value) -> (u16, Value) {
    let answer = send(milo, ("POST", "/api/v1/translate"), &[], body);
    (answer.status, answer.body)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_is_translated_once_and_known_from_then_on() {
    let server = Server::start(Conduct::says("Bonjour à tous.")).await;
    let own = server.variables("anthropic");
    let own: Vec<_> = own.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let milo = milo("translation", &own).await;
    for _ in 0..2 {
        let (status, told) = translate(&milo, &json!({ "text": " Salama daholo. ", "source": "mg", "target": "fr" }));
        assert_eq!((status, &told["translation"]), (200, &"Bonjour à tous.".into()), "{told}");
        assert!(told["source"] == "mg" && told["target"] == "fr" && told["processing_ms"].is_u64(), "{told}");
    }
    let asked = server.asked();
    assert_eq!(asked.len(), 1, "the second time it is known");
    let system = crate::hosted::server::text(&asked[0].body["system"]);
    assert!(system.contains("from Malagasy into French"), "{system}");
    assert_eq!(asked[0].body["messages"], json!([{ "role": "user", "content": "Salama daholo." }]));

    // The server is gone: the small model that ships takes no part in it, and what is known is known.
    server.now(Conduct::Refuses(500, ("content-type", "text/plain"), "broken"));
    let (status, problem) = translate(&milo, &json!({ "text": "Efa ela no vaky ny vera." }));
    assert!(
        status == 503 && problem["detail"].as_str().is_some_and(|says| says.contains("[engines.llm]")),
        "{problem}"
    );
    assert_eq!(translate(&milo, &json!({ "text": "Salama daholo." })).0, 200);
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_phrase_needs_no_model() {
    let milo = milo("phrases", &[]).await;
    for (source, target, text, translation) in [
        ("mg", "fr", "Misaotra betsaka tompoko!", "Merci beaucoup Madame, Monsieur !"),
        ("fr", "mg", "Où est la banque, s'il vous plaît ?", "Aiza ny banky, azafady?"),
    ] {
        let (status, told) = translate(&milo, &json!({ "text": text, "source": source, "target": target }));
        assert_eq!(
            (status, &told["translation"], &told["by"]),
            (200, &translation.into(), &"phrases".into()),
            "{told}"
        );
    }
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_translated_is_said_to_be_so() {
    let milo = milo("untranslated", &[]).await;
    for (wrong, expected, says) in [
        (json!({ "text": "" }), 422, "empty"),
        (json!({ "text": " \n" }), 422, "empty"),
        (json!({ "text": "x".repeat(5_001) }), 422, "5001"),
        (json!({ "text": "salama", "source": "mg", "target": "mg" }), 422, "differ"),
        (json!({ "text": "salama", "target": "en" }), 422, "en"),
        (json!({ "source": "mg" }), 422, "text"),
        (json!({ "text": "efa ela no vaky ny vera" }), 503, "demonstration"),
    ] {
        let (status, problem) = translate(&milo, &wrong);
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert!(status == expected && detail.contains(says), "{wrong}: {status} {problem}");
    }
    stop(milo).await;
}

/// The small translator that ships: what callers of the demonstration say, and nothing that it does not know.
#[tokio::test(flavor = "multi_thread")]
async fn the_translator_that_ships_says_what_it_is_sure_of() {
    let milo = milo("translator", &[]).await;
    for (source, target, text, translation) in [
        ("mg", "fr", "Inona ny vidin'ny mofo?", "Quel est le prix du pain ?"),
        ("fr", "mg", "Quel est le prix du pain ?\n\nMerci beaucoup.", "Inona ny vidin'ny mofo?\n\nMisaotra betsaka."),
    ] {
        let (status, told) = translate(&milo, &json!({ "text": text, "source": source, "target": target }));
        assert_eq!(
            (status, &told["translation"], &told["by"]),
            (200, &translation.into(), &"translator".into()),
            "{told}"
        );
        assert!(told["confidence"].as_f64().is_some_and(|sure| (0.98..=1.0).contains(&sure)), "{told}");
    }
    let (status, problem) =
        translate(&milo, &json!({ "text": "Nandeha tany an-tsaha ny mpiasa rehetra omaly hariva." }));
    assert!(
        status == 503 && problem["detail"].as_str().is_some_and(|says| says.contains("[engines.translate]")),
        "{problem}"
    );
    stop(milo).await;
}

/// A translator that somebody configured comes before any language model, and is as good as the operator says.
#[tokio::test(flavor = "multi_thread")]
async fn a_configured_translator_goes_before_the_language_model() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/models/tests/translator_tiny/merged");
    let server = Server::start(Conduct::says("Nobody asked.")).await;
    let own = server.variables("anthropic");
    let mut settings: Vec<_> = own.iter().map(|(name, value)| (*name, value.as_str())).collect();
    settings.push(("MILO__ENGINES__TRANSLATE__PATH", folder));
    let text = json!({ "text": "Misokatra ny varavarana fotsy." });
    let milo_of_any = milo("any", &settings).await;
    let (status, told) = translate(&milo_of_any, &text);
    assert!(status == 200 && told["by"] == "translator" && told["confidence"].as_f64() < Some(0.1), "{told}");
    stop(milo_of_any).await;
    settings.push(("MILO__ENGINES__TRANSLATE__MIN_CONFIDENCE", "0.5"));
    let milo_of_good = milo("good", &settings).await;
    let (status, problem) = translate(&milo_of_good, &text);
    assert!(
        status == 503 && problem["detail"].as_str().is_some_and(|says| says.contains("min_confidence")),
        "{problem}"
    );
    assert!(server.asked().is_empty());
    stop(milo_of_good).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn placeholders_and_numbers_stay_where_they_are_though_the_model_loses_them() {
    // It loses what is in braces, and a number; of words alone it makes large letters.
    let makes = |_: usize, asked: &crate::hosted::server::Asked| {
        let newest = asked.body["messages"].as_array().and_then(|all| all.last()).expect("a message");
        let text = newest["content"].as_str().expect("text");
        let loses = text.contains(['{', '%']) || text.contains(char::is_numeric);
        let said = if loses { "Bonjour, rappelez-nous.".into() } else { text.to_uppercase() };
        (std::time::Duration::ZERO, said)
    };
    let server = Server::start(Conduct::Makes(makes)).await;
    let own = server.variables("openai");
    let own: Vec<_> = own.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let milo = milo("translation-kept", &own).await;
    let asked = json!({ "text": "Ry {anarana}, antsoy ny 034 12 345 67.", "source": "mg", "target": "fr" });
    let (status, told) = translate(&milo, &asked);
    assert_eq!((status, &told["translation"]), (200, &"RY {anarana}, ANTSOY NY 034 12 345 67.".into()), "{told}");
    assert_eq!(server.asked().len(), 3, "the whole, and each of two parts");
    // What keeps them all is one translation.
    let (_, told) = translate(&milo, &json!({ "text": "telo boky", "source": "mg", "target": "fr" }));
    assert_eq!((&told["translation"], server.asked().len()), (&"TELO BOKY".into(), 4), "{told}");
    // And what cannot be cut so often is refused.
    let many = "boky {iray} ".repeat(40);
    let (status, told) = translate(&milo, &json!({ "text": many, "source": "mg", "target": "fr" }));
    assert!(status == 422 && told["detail"].as_str().is_some_and(|says| says.contains("placeholders")), "{told}");
    stop(milo).await;
}
