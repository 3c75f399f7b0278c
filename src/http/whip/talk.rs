//! One call from a browser, from its offer to its end. It owns the far end of the call: however this ends, so does the call.

use std::{sync::Arc, time::Duration};

use milo_signaling::{
    EndReason, FarWish,
    webrtc::{Connection, Gone, PeerEvent},
};
use serde_json::{Value, json};
use tokio::{join, select, time::timeout};

use super::{
    super::conversation::Memory,
    super::conversation::messages::{
        PRESS, Said, events, fault, not_begun, pressed, said, session as session_begun, unread,
    },
    peers::Place,
};
use crate::{
    agent::Manner,
    call::{Over, Room, Visitor, WebCalls, WebLine},
    chat::{Chats, SessionName},
    metrics::Metrics,
};

/// How long a call may take to close its row once the browser is gone.
const LAST_LINES: Duration = Duration::from_secs(2);
/// Who calls, as plans and the log have it: nobody with a number.
pub(super) const FROM: &str = "webrtc";

/// Waits for the browser, and carries its call.
pub(super) async fn carry(
    mut connection: Connection,
    (web, room, metrics): (WebCalls, Room, Arc<Metrics>),
    ((number, key), (chats, remembering)): ((String, String), (Chats, SessionName)),
    place: Place,
) {
    let (remembered, reached) = join!(chats.recalled(&remembering), connection.up());
    metrics.webrtc_offer(if reached.is_ok() { "up" } else { "given_up" });
    let Ok((socket, session)) = reached else { return };
    let detail = json!({
        "key": key, "codec": session.codec.name, "data_channel": connection.may_talk(), "session": remembering.called()
    });
    let visitor =
        Visitor { number, from: FROM, way: FROM, detail, codec: session.codec, manner: Manner::Live, remembered };
    let line = match web.begin_over(room, visitor, (socket, session)) {
        Ok(line) => line,
        Err(why) => return tell(&connection, &not_begun(&why)),
    };
    tell(&connection, &session_begun(remembering.called(), &line.id.to_string()));
    let (memory, keeping) = Memory::of(Some((chats, remembering)));
    let talking = async move {
        let reason = talk(line, &mut connection, memory).await;
        tell(&connection, &json!({ "type": "ended", "reason": reason }));
        // A resource whose call is over is gone at once, however long it takes to remember what was said.
        drop(place);
    };
    join!(talking, keeping);
}

/// Talks until the call is over; says why it is.
async fn talk(mut line: WebLine<()>, connection: &mut Connection, mut memory: Memory) -> String {
    let (mut is_up, mut is_ending) = (true, false);
    loop {
        let WebLine { far, happened, over, ending, .. } = &mut line;
        select! {
            biased;
            Some(happened) = happened.recv() => {
                memory.happened(&happened);
                events(&happened, Manner::Live).iter().for_each(|message| tell(connection, message));
            }
            over = &mut *over => return over.map_or_else(|_| "the call was cut off".into(), |over| over.reason),
            event = connection.next() => match event {
                PeerEvent::Said(text) => obey(&line, connection, &text),
                PeerEvent::SaidNothing => tell(connection, &fault("a message is text, 16 kB at most")),
                PeerEvent::Gone(gone) => return gone_from(line, gone).await,
            },
            wish = far.next(), if is_up => match wish {
                FarWish::Key(press) => tell(connection, &pressed(press.key)),
                FarWish::HungUp => is_up = false,
            },
            () = async { drop(ending.wait_for(|ending| *ending).await) }, if !is_ending => {
                is_ending = true;
                far.end(EndReason::Shutdown);
            }
        }
    }
}

/// The browser is gone: its call ends, and is waited for a moment.
async fn gone_from(line: WebLine<()>, gone: Gone) -> String {
    let reason = match gone {
        Gone::HungUp => EndReason::RemoteHangup,
        // It did not answer what it was asked.
        Gone::Lost | Gone::NeverUp => EndReason::Lost { code: 408 },
    };
    line.far.end(reason);
    let over: Result<Result<Over, _>, _> = timeout(LAST_LINES, line.over).await;
    over.ok().and_then(Result::ok).map(|over| over.reason).unwrap_or_default()
}

/// Does what a message wants.
fn obey(line: &WebLine<()>, connection: &Connection, text: &str) {
    match said(text) {
        Ok(Said::Key(key)) => line.far.press(key, PRESS),
        Ok(Said::HangUp) => line.far.end(EndReason::RemoteHangup),
        Ok(Said::Mute(mute)) => connection.mute(mute),
        Ok(Said::Say(text)) => {
            if line.typed.try_send(text).is_err() {
                tell(connection, &unread());
            }
        }
        Ok(Said::Strange(says)) => tell(connection, &fault(&says)),
        // Its sound is RTP, and ends by itself.
        Ok(Said::Stop | Said::Nothing | Said::Sound(_)) => {}
        Err(close) => tell(connection, &fault(close.reason())),
    }
}

/// Tells the browser, where it listens.
fn tell(connection: &Connection, message: &Value) {
    if !connection.tell(message.to_string()) {
        tracing::debug!("a browser does not read what it is told; it was not told of something");
    }
}
