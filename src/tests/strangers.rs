//! Strangers and hostile messages, in network namespaces without a route: nothing of this can leave the machine.

mod house;

use std::process::Command;

/// Runs a script in a network namespace of its own, whose only other inhabitant is what the script makes.
fn in_a_namespace(script: &str) -> std::process::Output {
    Command::new("unshare")
        .args(["--map-root-user", "--net", "--mount", "sh", "-ec", script])
        .output()
        .expect("unshare")
}

#[test]
fn a_stranger_is_refused_at_a_limited_rate_and_then_met_with_silence() {
    let folder = house::folder("strangers");
    // 192.0.2.1 is Milo's, 192.0.2.66 the stranger's; both lie on the same dummy device, so that nothing is sent anywhere.
    let script = format!(
        "ip link set lo up; ip link add house type dummy; ip addr add 192.0.2.1/24 dev house
         ip addr add 192.0.2.66/24 dev house; ip link set house up
         MILO_DATA_DIR={folder} MILO__SIP__UDP=0.0.0.0:5060 MILO__SIP__TCP=0.0.0.0:5060 LOG_LEVEL=info \\
           timeout 20 {program} serve > {folder}/out 2> {folder}/err & milo=$!
         for i in $(seq 100); do grep -q sip:milo {folder}/out && break; sleep 0.1; done
         timeout 15 sipp 192.0.2.1:5060 -s milo -i 192.0.2.66 -sn uac -m 20 -r 20 -nostdin -timeout 8 \\
           -recv_timeout 3000 -trace_stat -stf {folder}/stat.csv >/dev/null 2>&1 || true
         curl --silent http://127.0.0.1:8000/metrics > {folder}/metrics
         kill $milo; wait $milo || true",
        folder = folder.display(),
        program = house::PROGRAM,
    );
    let output = in_a_namespace(&script);
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap_or_default();
    assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stderr), read("err"));
    let refused = read("metrics")
        .lines()
        .find_map(|line| line.strip_prefix("milo_sip_refused_total ")?.parse::<u64>().ok())
        .unwrap_or_default();
    assert!(refused >= 20, "{refused} refused:\n{}\n{}", read("metrics"), read("err"));
    assert!(read("metrics").contains("milo_calls_started_total 0"), "no stranger's call begins");
    std::fs::remove_dir_all(folder).ok();
}
