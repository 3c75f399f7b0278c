//! A DNS server of our own on loopback, for whatever scenario needs names with several places.
#![allow(unreachable_pub, dead_code, reason = "all of it is for the scenarios beside it, and some need less of it")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use tokio::net::UdpSocket;

/// A name in the form of the wire (RFC 1035 section 3.1).
fn wire_name(name: &str) -> Vec<u8> {
    let labels = name.split('.').filter(|label| !label.is_empty());
    let mut bytes: Vec<u8> =
        labels.flat_map(|label| std::iter::once(u8::try_from(label.len()).unwrap()).chain(label.bytes())).collect();
    bytes.push(0);
    bytes
}

pub const A: u16 = 1;
/// Of a name that nothing is said of, whatever is asked.
pub const MUTE: u16 = 0;
pub const SRV: u16 = 33;
pub const NAPTR: u16 = 35;
/// With a type: a record that is said once, and the next such one of that name to the next question; the last for ever. None is kept.
pub const IN_TURN: u16 = 0xff00;

pub fn srv(priority: u16, weight: u16, port: u16, target: &str) -> Vec<u8> {
    [priority, weight, port].iter().flat_map(|word| word.to_be_bytes()).chain(wire_name(target)).collect()
}

pub fn naptr(order: u16, services: &str, replacement: &str) -> Vec<u8> {
    let mut bytes: Vec<u8> = [order, 10].iter().flat_map(|word| word.to_be_bytes()).collect();
    for text in ["s", services, ""] {
        bytes.push(u8::try_from(text.len()).unwrap());
        bytes.extend(text.bytes());
    }
    bytes.extend(wire_name(replacement));
    bytes
}

pub type Zone = Vec<(&'static str, u16, Vec<u8>)>;

/// A DNS server that knows this zone and notes what it was asked.
pub async fn dns(zone: Zone) -> (SocketAddr, Arc<Mutex<Vec<(String, u16)>>>) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let at = socket.local_addr().unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&asked);
    tokio::spawn(async move {
        let mut query = [0; 1500];
        while let Ok((length, from)) = socket.recv_from(&mut query).await {
            let query = &query[..length];
            let (mut name, mut place) = (String::new(), 12);
            while query[place] != 0 {
                let label = &query[place + 1..=place + usize::from(query[place])];
                name = format!("{name}{}.", String::from_utf8_lossy(label).to_ascii_lowercase());
                place += 1 + label.len();
            }
            let question = &query[12..place + 5];
            let kind = u16::from_be_bytes([query[place + 1], query[place + 2]]);
            notes.lock().unwrap().push((name.clone(), kind));
            if zone.iter().any(|(owner, of, _)| *owner == name && *of == MUTE) {
                continue;
            }
            let known = zone.iter().any(|(owner, ..)| *owner == name);
            let all =
                |kind: u16| zone.iter().filter(|(owner, of, _)| *owner == name && *of == kind).collect::<Vec<_>>();
            let turns = all(IN_TURN | kind);
            let said = notes.lock().unwrap().iter().filter(|asked| **asked == (name.clone(), kind)).count();
            let (answers, kept) = match turns.get((said - 1).min(turns.len().saturating_sub(1))) {
                Some(turn) => (vec![*turn], 0),
                None => (all(kind), 60),
            };
            let mut answer = query[..2].to_vec();
            answer.extend([0x85, if known { 0x80 } else { 0x83 }, 0, 1]);
            answer.extend(u16::try_from(answers.len()).unwrap().to_be_bytes());
            answer.extend([0; 4]);
            answer.extend(question);
            for (owner, _, data) in answers {
                answer.extend(wire_name(owner));
                answer.extend(kind.to_be_bytes());
                answer.extend([0, 1, 0, 0, 0, kept]);
                answer.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
                answer.extend(data);
            }
            socket.send_to(&answer, from).await.ok();
        }
    });
    (at, asked)
}

pub fn host() -> (u16, Vec<u8>) {
    (A, vec![127, 0, 0, 1])
}
