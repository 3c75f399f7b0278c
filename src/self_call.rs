//! The doctor's last check: a Milo on free loopback ports, with the configured engines, is called and must greet.

use std::{future::pending, time::Duration};

use tokio::runtime::Handle;

use crate::{
    config::{Addresses, Config, PortRange, SecretUrl},
    doctor::Findings,
    phone::{Errand, Phone, Report},
    server::Server,
};

/// Loads the models and holds a call of one greeting. The call is written to a log of its own, which is thrown away.
pub async fn check(config: &Config, legs: &Handle, findings: &mut Findings) {
    let scratch = config.data_dir.join(format!("doctor-{}.db", std::process::id()));
    let mut config = config.clone();
    let any_port = ([127, 0, 0, 1], 0).into();
    config.http.listen = any_port;
    config.sip.udp = Addresses::one(any_port);
    config.sip.tcp = Addresses::one(any_port);
    config.media.rtp_ports = PortRange::new(0, 0);
    config.database.url = Some(SecretUrl::new(format!("sqlite:{}", scratch.display())));
    config.drain.seconds = 0;
    config.recording.enabled = false;
    match Server::start(&config, legs).await {
        Err(error) => findings.fault("models", format!("{error:#}")),
        Ok(server) => {
            findings.good("models", "voice activity, transcriber, language model and voice are loaded");
            findings.judge("a call to itself", greeted(&server, legs).await);
            server.end(pending()).await;
        }
    }
    for ending in ["", "-wal", "-shm"] {
        std::fs::remove_file(format!("{}{ending}", scratch.display())).ok();
    }
}

async fn greeted(server: &Server, legs: &Handle) -> Result<String, String> {
    let target = server.dial("milo").ok_or("the dialplan has no number milo, so no call was made")?;
    let target = target.parse().map_err(|_| format!("{target} is no SIP address"))?;
    let phone = Phone::new(&target, None, legs.clone()).map_err(|error| error.to_string())?;
    let errand =
        Errand { target, play: vec![], interrupt: None, digits: None, wait: false, no_greeting: false, record: None };
    let report = tokio::time::timeout(Duration::from_secs(30), phone.call(&errand)).await;
    phone.shutdown().await;
    match report {
        Ok(Ok(Report { greeting: Some(greeting), setup_ms, .. })) => Ok(format!(
            "answered after {setup_ms:.0} ms, greeted after {:.0} ms for {:.1} s",
            greeting.began_ms,
            greeting.lasted_ms / 1e3
        )),
        Ok(Ok(_)) => {
            Err("answered, but nothing was heard: RTP does not come through, is a firewall active on lo?".into())
        }
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("it did not end within 30 s".into()),
    }
}
