//! Callers that we did not write: sipp and baresip.

mod house;

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use house::{folder, milo, newest_call, recording, stop};
use milo_media::{codec::PCMA, wav};

/// What is said in `mg_hours.wav`.
const MG_HOURS: &str = "rahoviana no misokatra ny birao";

/// The port of a `sip:milo@127.0.0.1:PORT` address.
fn port(uri: &str) -> String {
    uri.split(['@', ';']).nth(1).expect("an address").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn sipp_asks_one_question() {
    let milo = milo("sipp", &[]).await;
    let folder = folder("sipp-files");
    let scenario = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/sipp/caller.xml");
    // sipp sends the payload as it lies in the file: A-law at 8 kHz, and half a second of silence behind.
    let speech = wav::read(&recording("mg_hours.wav")).expect("the recording");
    let narrow = milo_media::resample::resample(&speech, 16_000, 8_000);
    let (mut payload, mut silence) = (Vec::new(), Vec::new());
    (PCMA.encode)(&narrow, &mut payload);
    (PCMA.encode)(&[0; 4_000], &mut silence);
    payload.extend(silence);
    payload.truncate(payload.len() / 160 * 160);
    fs::write(folder.join("question.alaw"), payload).expect("the question");

    let target = port(&milo.udp("milo").expect("an address").to_string());
    let output = Command::new("timeout")
        .args(["60", "sipp", &target, "-s", "milo", "-sf"])
        .arg(&scenario)
        .args(["-m", "1", "-i", "127.0.0.1", "-mi", "127.0.0.1", "-nostdin", "-trace_err"])
        .current_dir(&folder)
        .output()
        .expect("sipp");
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));

    let logged = newest_call(&milo).await;
    let heard: Vec<_> = logged["turns"].as_array().expect("turns").iter().filter_map(|t| t["heard"].as_str()).collect();
    assert_eq!(heard, [MG_HOURS], "{logged}");
    assert_eq!(logged["hangup_by"], "caller", "{logged}");
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
async fn baresip_calls_and_hears_music() {
    let milo = milo("baresip", &[]).await;
    let folder = folder("baresip-files");
    let heard = folder.join("heard");
    fs::create_dir(&heard).expect("a folder");
    let config = "sip_listen 127.0.0.1:0\naudio_player aufile,@/played.wav\naudio_source ausine,400\n\
                  module_path /usr/lib/baresip/modules\nmodule g711.so\nmodule ausine.so\nmodule aufile.so\n\
                  module_app account.so\nmodule_app menu.so\nmodule stdio.so\nrtp_timeout 10\n";
    fs::write(folder.join("config"), config.replace('@', &heard.display().to_string())).expect("a configuration");
    fs::write(folder.join("accounts"), "<sip:caller@127.0.0.1>;regint=0;audio_codecs=PCMU\n").expect("an account");
    let target = milo.udp("music").expect("an address").to_string();
    let mut baresip = Command::new("timeout")
        .args(["--signal=INT", "8", "baresip", "-f"])
        .arg(&folder)
        .args(["-e", &format!("d {target}")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("baresip");
    let running = thread::spawn(move || {
        thread::sleep(Duration::from_secs(9));
        baresip.kill().ok();
        baresip.wait_with_output()
    });
    let output = running.join().expect("a thread").expect("baresip's words");
    let logged = newest_call(&milo).await;
    assert_eq!(logged["to"], "music", "{logged}\n{}", text(&output.stdout));
    assert_eq!(logged["hangup_by"], "caller", "{logged}");
    let music = wav::read(&heard.join("played.wav")).expect("what baresip played");
    let loud = music.iter().filter(|sample| sample.unsigned_abs() > 1_000).count();
    assert!(loud > 16_000, "baresip heard {loud} loud samples of {}", music.len());
    fs::remove_dir_all(folder).ok();
    stop(milo).await;
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
