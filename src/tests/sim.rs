//! Simulated callers: the scenarios that ship, what a report holds, what is not as expected, and a logged call that is played again.

use std::{fs, path::Path, process::Output};

use serde_json::Value;

use crate::house::{PROGRAM, alone, call, errand, folder, milo, newest_call, stop};

/// `milo sim` in this folder.
async fn sim(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = tokio::process::Command::from(alone(PROGRAM, folder));
    command.arg("sim").args(arguments).kill_on_drop(true).output().await.expect("milo sim")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn report(folder: &Path) -> Value {
    serde_json::from_slice(&fs::read(folder.join("report.json")).expect("report.json")).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_scenarios_that_ship_pass_and_their_report_has_the_sound() {
    let folder = folder("sim");
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("dialplans/simulations");
    let shipped = shipped.to_string_lossy();
    let played = sim(&folder, &[&shipped, "--report", "out", "--parallel", "5"]).await;
    let said = text(&played.stdout);
    assert!(played.status.success(), "{said}{}", text(&played.stderr));
    assert!(said.lines().filter(|line| line.starts_with("ok  ")).count() >= 12, "{said}");

    let report = report(&folder.join("out"));
    assert_eq!((&report["failed"], report["passed"].as_u64() >= Some(12)), (&0.into(), true), "{report}");
    let scenarios = report["scenarios"].as_array().expect("scenarios");
    let hours = scenarios.iter().find(|scenario| scenario["name"] == "hours").expect("the one about hours");
    let turn = &hours["turns"][1];
    assert!(turn["said"].as_str().is_some_and(|said| said.contains("valo ora maraina")), "{hours}");
    assert!(turn["total_ms"].as_f64().is_some() && turn["wire_ms"].as_f64().is_some(), "{hours}");
    assert!(turn["checks"].as_array().is_some_and(|checks| checks.len() == 9), "{hours}");
    let missed = |name: &str| {
        let scenario = scenarios.iter().find(|scenario| scenario["name"] == name).expect("one that ships");
        scenario["loss_percent"].as_f64().unwrap_or_else(|| panic!("no loss is told: {scenario}"))
    };
    // A twentieth is lost in two of its turns, and in the silence between them.
    assert!((0.8..12.0).contains(&missed("lost-packets")), "{}", missed("lost-packets"));
    assert!(missed("hours") < missed("lost-packets"), "{}", missed("hours"));
    let sound = folder.join("out").join(hours["sound"].as_str().expect("a sound"));
    assert!(fs::read(sound).expect("the sound").starts_with(b"OggS"));
    let page = fs::read_to_string(folder.join("out/report.html")).expect("report.html");
    assert_eq!(page.matches("<audio ").count(), scenarios.len());
    assert!(page.contains("data:audio/ogg;base64,T2dnU"), "sounds are within the page");
    fs::remove_dir_all(folder).ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_as_expected_is_named_and_so_is_what_no_scenario_can_be() {
    let folder = folder("sim-wrong");
    let wrong = "
voice: { variant: f4, speed: 150 }
turns:
  - say: firy ariary ny tapakila
    expect: { said: tsy misy an'izany, reply: true }
end: { by: milo_s_caller }
";
    fs::write(folder.join("wrong.yaml"), wrong).expect("a temporary folder");
    let broken = sim(&folder, &["wrong.yaml"]).await;
    let said = text(&broken.stderr);
    assert_eq!(broken.status.code(), Some(1), "{said}");
    assert!(said.contains("wrong.yaml, line 6: end.by") && said.contains("caller"), "{said}");

    let mute = "turns:\n  - say: salama\n    voice: { variant: nobody }\n";
    fs::write(folder.join("mute.yaml"), mute).expect("a temporary folder");
    let broken = sim(&folder, &["mute.yaml"]).await;
    let said = text(&broken.stderr);
    assert!(said.contains("mute.yaml: turns[0].voice.variant: \"nobody\" is not known"), "{said}");

    fs::write(folder.join("wrong.yaml"), wrong.replace("milo_s_caller", "caller")).expect("a temporary folder");
    let failed = sim(&folder, &["wrong.yaml", "--report", "out"]).await;
    let said = text(&failed.stdout);
    assert_eq!(failed.status.code(), Some(1), "{said}{}", text(&failed.stderr));
    let line = said.lines().find(|line| line.starts_with("FAIL")).expect("a line about it");
    assert!(line.contains("wrong") && line.contains("turns[0]: said: [\"tsy misy an'izany\"] expected"), "{said}");
    assert!(!line.contains("reply:"), "the reply was there: {said}");
    let report = report(&folder.join("out"));
    assert_eq!((&report["passed"], &report["failed"]), (&0.into(), &1.into()), "{report}");
    let page = fs::read_to_string(folder.join("out/report.html")).expect("report.html");
    assert_eq!(page.matches("<li class=\"wrong\">").count(), 1, "{page}");
    fs::remove_dir_all(folder).ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logged_call_becomes_a_scenario_that_a_running_milo_passes() {
    let milo = milo("sim-record", &[]).await;
    call(&errand(milo.udp("milo").expect("an address"), &["mg_price.wav"])).await;
    let logged = newest_call(&milo).await;
    let id = logged["id"].as_str().expect("an identifier");
    let recorded = sim(milo.folder(), &["--record", id, "--http", &milo.http]).await;
    let yaml = text(&recorded.stdout);
    assert!(recorded.status.success(), "{}", text(&recorded.stderr));
    assert!(yaml.contains("  - say: ") && yaml.contains("tapakila") && yaml.contains("alina ariary"), "{yaml}");

    // The voice that speaks when none is named is the recording's.
    fs::write(milo.folder().join("again.yaml"), &yaml).expect("a folder that can be written");
    let target = milo.udp("milo").expect("an address").to_string();
    let again = sim(milo.folder(), &["again.yaml", "--target", &target, "--http", &milo.http]).await;
    assert!(again.status.success(), "{yaml}{}{}", text(&again.stdout), text(&again.stderr));

    let lonely = sim(milo.folder(), &["again.yaml", "--target", &target]).await;
    assert!(text(&lonely.stderr).contains("--http"), "{}", text(&lonely.stderr));
    stop(milo).await;
}
