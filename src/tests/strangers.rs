//! Strangers and hostile messages, in network namespaces without a route: nothing of this can leave the machine.

#[test]
fn a_stranger_is_refused_at_a_limited_rate_and_then_met_with_silence() {
    let folder = crate::house::folder("strangers");
    // 192.0.2.1 is Milo's, 192.0.2.66 the stranger's; both lie on the namespace's own loopback device.
    let script = format!(
        "ip addr add 192.0.2.1/24 dev lo; ip addr add 192.0.2.66/24 dev lo
         export MILO__HTTP__LISTEN=127.0.0.1:8000 MILO__SIP__UDP=0.0.0.0:5060 MILO__SIP__TCP=0.0.0.0:5060 LOG_LEVEL=info
         timeout 40 {program} serve > out 2> err & milo=$!
         for i in $(seq 200); do grep -q sip:milo out && break; sleep 0.1; done
         timeout 15 sipp 192.0.2.1:5060 -s milo -i 192.0.2.66 -sn uac -m 20 -r 20 -nostdin -timeout 8 \\
           -recv_timeout 3000 -trace_msg -message_file messages >/dev/null 2>&1 || true
         curl --silent http://127.0.0.1:8000/metrics > metrics
         kill $milo; wait $milo || true",
        program = crate::house::PROGRAM,
    );
    let Some(output) = crate::house::in_a_namespace(&folder, &script) else { return };
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap_or_default();
    assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stderr), read("err"));
    let messages = read("messages");
    let count = |start: &str| messages.lines().filter(|line| line.starts_with(start)).count();
    let (invited, forbidden) = (count("INVITE sip:"), count("SIP/2.0 403"));
    assert!(forbidden > 0, "nobody was told:\n{messages}\n{}", read("err"));
    assert!(forbidden < invited, "all {invited} requests were answered");
    assert_eq!(forbidden, count("SIP/2.0 "), "a stranger hears 403 and nothing else:\n{messages}");
    let refused = read("metrics")
        .lines()
        .find_map(|line| line.strip_prefix("milo_sip_refused_total ")?.parse::<u64>().ok())
        .unwrap_or_default();
    assert!(refused >= 20, "{refused} refused:\n{}\n{}", read("metrics"), read("err"));
    assert!(read("metrics").contains("milo_calls_started_total 0"), "no stranger's call begins");
    assert!(read("err").contains("no configured trunk"), "the log says so: {}", read("err"));
    std::fs::remove_dir_all(folder).ok();
}
