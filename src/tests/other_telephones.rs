//! Callers that we did not write: sipp and baresip.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use crate::house::{
    FR_HOURS, MG_APPOINTMENT, MG_GOODBYE, MG_HOURS, answered, assert_turn, folder, loud, milo, newest_call, recording,
    stop,
};
use milo_media::{codec::PCMA, wav};

/// The port of a `sip:milo@127.0.0.1:PORT` address.
fn port(uri: &str) -> String {
    uri.split(['@', ';']).nth(1).expect("an address").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn sipp_holds_three_turns_in_malagasy_and_one_in_french() {
    let milo = milo("sipp", &[]).await;
    let folder = folder("sipp-files");
    let scenario = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/sipp/caller.xml");
    // sipp sends the payload as it lies in the file: A-law at 8 kHz, and half a second of silence behind.
    for name in ["mg_hours", "mg_appointment", "fr_hours", "mg_goodbye"] {
        let speech = wav::read(&recording(&format!("{name}.wav"))).expect("the recording");
        let narrow = milo_media::resample::resample(&speech, 16_000, 8_000);
        let (mut payload, mut silence) = (Vec::new(), Vec::new());
        (PCMA.encoder)().encode(&narrow, &mut payload);
        (PCMA.encoder)().encode(&[0; 4_000], &mut silence);
        payload.extend(silence);
        payload.truncate(payload.len() / 160 * 160);
        fs::write(folder.join(format!("{name}.alaw")), payload).expect("what is said");
    }

    let target = port(&milo.udp("milo").expect("an address").to_string());
    let output = Command::new("timeout")
        .args(["120", "sipp", &target, "-s", "milo", "-sf"])
        .arg(&scenario)
        .args(["-m", "1", "-i", "127.0.0.1", "-mi", "127.0.0.1", "-nostdin", "-trace_err"])
        .current_dir(&folder)
        .output()
        .expect("sipp");
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));

    let logged = newest_call(&milo).await;
    let turns = answered(&logged);
    assert_eq!(turns.len(), 4, "{logged}");
    let expected = [("mg", MG_HOURS), ("mg", MG_APPOINTMENT), ("fr", FR_HOURS), ("mg", MG_GOODBYE)];
    for (turn, (language, (heard, said))) in turns.into_iter().zip(expected) {
        assert_turn(turn, language, heard, said);
    }
    assert_eq!(logged["hangup_by"], "milo", "{logged}");
    fs::remove_dir_all(folder).ok();
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sipp_sets_up_fifty_calls_a_second() {
    let milo = milo("sipp-rate", &[("MILO__LIMITS__CALLS", "500")]).await;
    let target = port(&milo.udp("echo").expect("an address").to_string());
    let output = Command::new("timeout")
        .args(["60", "sipp", &target, "-s", "echo", "-sn", "uac", "-m", "100", "-r", "50", "-d", "200"])
        .args(["-i", "127.0.0.1", "-mi", "127.0.0.1", "-nostdin"])
        .output()
        .expect("sipp");
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn baresip_asks_one_question_and_hears_the_answer() {
    let milo = milo("baresip", &[]).await;
    let folder = folder("baresip-files");
    let heard = folder.join("heard");
    fs::create_dir(&heard).expect("a folder");
    // Silence while the greeting is spoken, the question, silence while the answer is.
    let mut said = vec![0; 16_000 * 11 / 2];
    said.extend(wav::read(&recording("mg_hours.wav")).expect("the recording"));
    said.extend(vec![0; 16_000 * 9]);
    write_narrow(&folder.join("say.wav"), &said);
    let config = format!(
        "sip_listen 127.0.0.1:0\naudio_source aufile,{folder}/say.wav\nmodule_path /usr/lib/baresip/modules\n\
         module g711.so\nmodule aufile.so\nmodule sndfile.so\nsnd_path {folder}/heard\n\
         module_app account.so\nmodule_app menu.so\n",
        folder = folder.display()
    );
    fs::write(folder.join("config"), config).expect("a configuration");
    fs::write(folder.join("accounts"), "<sip:caller@127.0.0.1>;regint=0;audio_codecs=PCMU\n").expect("an account");
    let target = milo.udp("milo").expect("an address").to_string();
    let output = Command::new("timeout")
        .args(["--signal=INT", "18", "baresip", "-f"])
        .arg(&folder)
        .args(["-e", &format!("/dial {target}")])
        .stdin(Stdio::null())
        .output()
        .expect("baresip");
    let logged = newest_call(&milo).await;
    let turns = answered(&logged);
    assert_eq!(turns.len(), 1, "{logged}\n{}", text(&output.stdout));
    assert_turn(turns[0], "mg", MG_HOURS.0, MG_HOURS.1);
    assert_eq!(logged["hangup_by"], "caller", "{logged}");
    // Its reports and ours have crossed: each end knows how the other hears it, and how long the way is.
    let sounded = &logged["quality"][0];
    assert_eq!((&sounded["leg"], &sounded["codec"]), (&"caller".into(), &"PCMU".into()), "{logged}");
    assert!(sounded["round_trip_ms"].as_f64().is_some_and(|trip| trip < 1_000.0), "{sounded}");
    assert!(sounded["far_loss_percent"].as_f64().is_some_and(|loss| loss < 20.0), "{sounded}");
    assert!(sounded["mos"].as_f64().is_some_and(|mos| mos > 2.5), "{sounded}");
    assert!(sounded["level_dbfs"].as_f64().is_some_and(|level| (-50.0..-5.0).contains(&level)), "{sounded}");
    assert_eq!(sounded["one_way"], serde_json::Value::Null, "{sounded}");
    let dump = fs::read_dir(&heard).expect("the folder").filter_map(|entry| Some(entry.ok()?.path()));
    let dump = dump.into_iter().find(|path| path.to_string_lossy().ends_with("-dec.wav")).expect("what baresip heard");
    let loud = loud(&wav::read(&dump).expect("a WAV file"));
    assert!(loud > 3 * 16_000, "baresip heard {loud} loud samples");
    fs::remove_dir_all(folder).ok();
    stop(milo).await;
}

/// An 8 kHz WAV file, which is what baresip's file source wants for G.711.
fn write_narrow(path: &Path, samples: &[i16]) {
    write_narrow_as_is(path, &milo_media::resample::resample(samples, 16_000, 8_000));
}

/// The same of samples at 8 kHz.
pub(super) fn write_narrow_as_is(path: &Path, narrow: &[i16]) {
    let length = u32::try_from(narrow.len() * 2).expect("a short file");
    let mut bytes = Vec::new();
    for (tag, word) in [(b"RIFF", length + 36), (b"WAVE", u32::from_le_bytes(*b"fmt "))] {
        bytes.extend(tag);
        bytes.extend(word.to_le_bytes());
    }
    for word in [16, 0x0001_0001, 8_000, 16_000, 0x0010_0002, u32::from_le_bytes(*b"data"), length] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(narrow.iter().flat_map(|sample| sample.to_le_bytes()));
    fs::write(path, bytes).expect("a WAV file");
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
