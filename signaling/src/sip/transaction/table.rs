//! All live transactions: finding the one that a message belongs to (RFC 3261 sections 17.1.3 and 17.2.3), running
//! their timers, and doing what the machines want.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::Arc,
    time::Instant,
};

use super::{
    client,
    live::{Machine, Transaction},
    message::{ack_of_rejection, client_key},
    server,
};
use crate::sip::{
    core::CallKey,
    flow::{Packet, Path},
    message::Message,
    method::Method,
};

pub(crate) use super::live::Told;

/// Places that the tables keep when nothing is live.
const TABLE: usize = 1024;

/// Which transaction; never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TransactionId(u64);

/// The table.
#[derive(Debug, Default)]
pub(crate) struct Transactions {
    live: HashMap<TransactionId, Transaction>,
    by_key: HashMap<String, TransactionId>,
    by_merge_key: HashMap<String, TransactionId>,
    timers: BTreeSet<(Instant, TransactionId)>,
    last_id: u64,
    /// Messages sent a second time or more.
    pub(crate) retransmissions: u64,
}

impl Transactions {
    /// How many are live.
    pub(crate) fn len(&self) -> usize {
        self.live.len()
    }

    /// The transaction with this key.
    pub(crate) fn find(&self, key: &str) -> Option<TransactionId> {
        self.by_key.get(key).copied()
    }

    /// The call that a transaction belongs to.
    pub(crate) fn owner(&self, id: TransactionId) -> Option<CallKey> {
        self.live.get(&id)?.owner
    }

    /// Another live transaction that this request without a To tag is a copy of, come by another way.
    pub(crate) fn find_merged(&self, merge_key: &str) -> Option<TransactionId> {
        self.by_merge_key.get(merge_key).copied()
    }

    /// Opens the server transaction of an INVITE. `trying` is the 100 to send when its user takes its time.
    pub(crate) fn open_invite_server(
        &mut self,
        now: Instant,
        key: String,
        merge_key: Option<String>,
        path: Path,
        trying: Option<Message>,
        owner: CallKey,
    ) -> TransactionId {
        let machine = server::InviteServer::new(now, path.flow.transport.is_reliable());
        let machine = Machine::InviteServer { machine, trying: trying.map(Box::new) };
        self.insert(Transaction { machine, key, merge_key, path, last: None, owner: Some(owner), scheduled: None })
    }

    /// Opens the server transaction of any other request; it is answered with [`Self::respond`] at once.
    pub(crate) fn open_server(&mut self, key: String, path: Path) -> TransactionId {
        self.open_merging_server(key, None, path)
    }

    /// The same for a request of which a copy, come by another way, must not count as another one.
    pub(crate) fn open_merging_server(&mut self, key: String, merge_key: Option<String>, path: Path) -> TransactionId {
        let machine = Machine::Server(server::Server::new(path.flow.transport.is_reliable()));
        self.insert(Transaction { machine, key, merge_key, path, last: None, owner: None, scheduled: None })
    }

    /// The name of a transaction that begins later, with [`Self::send_as`].
    pub(crate) fn reserve(&mut self) -> TransactionId {
        self.last_id += 1;
        TransactionId(self.last_id)
    }

    /// Sends a request whose top Via carries `branch`, and waits for its responses on behalf of `owner`.
    pub(crate) fn send(
        &mut self,
        now: Instant,
        request: Message,
        branch: &str,
        path: Path,
        owner: Option<CallKey>,
        out: &mut VecDeque<Packet>,
    ) -> TransactionId {
        let id = self.reserve();
        self.send_as(now, (id, owner), request, branch, path, out);
        id
    }

    /// The same under a name that was reserved.
    pub(crate) fn send_as(
        &mut self,
        now: Instant,
        (id, owner): (TransactionId, Option<CallKey>),
        request: Message,
        branch: &str,
        path: Path,
        out: &mut VecDeque<Packet>,
    ) {
        let reliable = path.flow.transport.is_reliable();
        let method = request.method().cloned().unwrap_or(Method::Options);
        let bytes: Arc<[u8]> = request.to_bytes().into();
        let machine = if method == Method::Invite {
            Machine::InviteClient { machine: client::InviteClient::new(now, reliable), invite: Box::new(request) }
        } else {
            Machine::Client(client::Client::new(now, reliable))
        };
        let key = client_key(branch, &method);
        let last = Some(Arc::clone(&bytes));
        self.insert_as(id, Transaction { machine, key, merge_key: None, path, last, owner, scheduled: None });
        out.push_back(Packet { path, bytes, transaction: Some(id) });
    }

    /// A request came that belongs to this transaction: a repetition, or the ACK. True: pass the ACK to the user.
    pub(crate) fn request(
        &mut self,
        now: Instant,
        id: TransactionId,
        is_ack: bool,
        out: &mut VecDeque<Packet>,
    ) -> bool {
        let Some(transaction) = self.live.get_mut(&id) else { return false };
        let wanted = match &mut transaction.machine {
            Machine::InviteServer { machine, .. } if is_ack => machine.ack(now),
            Machine::InviteServer { machine, .. } => machine.request(),
            Machine::Server(machine) => machine.request(),
            Machine::InviteClient { .. } | Machine::Client(_) => server::Do::Nothing,
        };
        self.obey(id, wanted, out);
        self.settle(id);
        wanted == server::Do::Deliver
    }

    /// Sends a response. False: too late, a final response has been sent.
    pub(crate) fn respond(
        &mut self,
        now: Instant,
        id: TransactionId,
        response: &Message,
        out: &mut VecDeque<Packet>,
    ) -> bool {
        let code = response.status().unwrap_or(500);
        let Some(transaction) = self.live.get_mut(&id) else { return false };
        match &mut transaction.machine {
            Machine::InviteServer { machine, trying } => {
                if !machine.respond(now, code) {
                    return false;
                }
                *trying = None;
            }
            Machine::Server(machine) => machine.respond(now),
            Machine::InviteClient { .. } | Machine::Client(_) => return false,
        }
        let bytes: Arc<[u8]> = response.to_bytes().into();
        out.push_back(Packet { path: transaction.path, bytes: Arc::clone(&bytes), transaction: None });
        // The 2xx of an INVITE is repeated by the user, not by the machine.
        let is_invite = matches!(transaction.machine, Machine::InviteServer { .. });
        transaction.last = Some(bytes).filter(|_| !(is_invite && (200..300).contains(&code)));
        self.settle(id);
        true
    }

    /// Whether an INVITE still waits for its final response.
    pub(crate) fn is_open(&self, id: TransactionId) -> bool {
        self.live.get(&id).is_some_and(|transaction| match &transaction.machine {
            Machine::InviteServer { machine, .. } => machine.is_open(),
            _ => false,
        })
    }

    /// A response came. What its user must know, if it belongs to a transaction at all.
    pub(crate) fn response(
        &mut self,
        now: Instant,
        response: Message,
        out: &mut VecDeque<Packet>,
    ) -> Option<(TransactionId, Option<CallKey>, Option<Told>)> {
        let via = response.top_via().ok()?;
        let (_, method) = response.cseq().ok()?;
        let id = self.find(&client_key(via.branch()?, &method))?;
        let code = response.status()?;
        let transaction = self.live.get_mut(&id)?;
        let wanted = match &mut transaction.machine {
            Machine::InviteClient { machine, invite } => {
                let wanted = machine.response(now, code);
                if matches!(wanted, client::Do::Ack | client::Do::AckAndDeliver) {
                    let bytes = ack_of_rejection(invite, &response).to_bytes().into();
                    out.push_back(Packet { path: transaction.path, bytes, transaction: None });
                }
                wanted
            }
            Machine::Client(machine) => machine.response(now, code),
            Machine::InviteServer { .. } | Machine::Server(_) => return None,
        };
        let owner = transaction.owner;
        self.settle(id);
        let for_user = matches!(wanted, client::Do::Deliver | client::Do::AckAndDeliver);
        let told = for_user.then(|| Told::Response(Box::new(response)));
        Some((id, owner, told))
    }

    /// The driver could not send this client transaction's request (RFC 3261 section 17.1.4).
    pub(crate) fn unreachable(&mut self, id: TransactionId) -> Option<CallKey> {
        let transaction = self.live.get(&id)?;
        let waits = matches!(transaction.machine, Machine::InviteClient { .. } | Machine::Client(_));
        let owner = transaction.owner.filter(|_| waits);
        if waits {
            self.forget(id);
        }
        owner
    }

    /// Nobody waits for the response to this INVITE any more, and it is not sent again. Should one come all the same, it belongs
    /// to no call.
    pub(crate) fn abandon(&mut self, id: TransactionId) {
        let Some(transaction) = self.live.get_mut(&id) else { return };
        if let Machine::InviteClient { machine, .. } = &mut transaction.machine {
            machine.abandon();
            transaction.owner = None;
        }
        self.settle(id);
    }

    /// When [`Self::expire`] wants to be called.
    pub(crate) fn next_timer(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Fires the earliest timer that is due. None: none is.
    pub(crate) fn expire(
        &mut self,
        now: Instant,
        out: &mut VecDeque<Packet>,
    ) -> Option<(TransactionId, Option<CallKey>, Option<Told>)> {
        let (at, id) = *self.timers.first()?;
        if at > now {
            return None;
        }
        let Some(transaction) = self.live.get_mut(&id) else {
            self.timers.remove(&(at, id));
            return Some((id, None, None));
        };
        let owner = transaction.owner;
        let told = match &mut transaction.machine {
            Machine::InviteClient { machine, .. } => {
                let wanted = machine.expire(now);
                self.obey_client(id, wanted, out)
            }
            Machine::Client(machine) => {
                let wanted = machine.expire(now);
                self.obey_client(id, wanted, out)
            }
            Machine::InviteServer { machine, .. } => {
                let wanted = machine.expire(now);
                self.obey(id, wanted, out);
                (wanted == server::Do::TimedOut).then_some(Told::Unacknowledged)
            }
            Machine::Server(machine) => {
                machine.expire(now);
                None
            }
        };
        self.settle(id);
        Some((id, owner, told))
    }

    fn obey_client(&mut self, id: TransactionId, wanted: client::Do, out: &mut VecDeque<Packet>) -> Option<Told> {
        match wanted {
            client::Do::Resend => {
                self.resend(id, out);
                None
            }
            client::Do::TimedOut => Some(Told::TimedOut),
            _ => None,
        }
    }

    fn obey(&mut self, id: TransactionId, wanted: server::Do, out: &mut VecDeque<Packet>) {
        match wanted {
            server::Do::Resend => self.resend(id, out),
            server::Do::Trying => {
                let Some(transaction) = self.live.get_mut(&id) else { return };
                let Machine::InviteServer { trying, .. } = &mut transaction.machine else { return };
                let Some(trying) = trying.take() else { return };
                let bytes: Arc<[u8]> = trying.to_bytes().into();
                transaction.last = Some(Arc::clone(&bytes));
                out.push_back(Packet { path: transaction.path, bytes, transaction: None });
            }
            server::Do::Nothing | server::Do::Deliver | server::Do::TimedOut => {}
        }
    }

    fn resend(&mut self, id: TransactionId, out: &mut VecDeque<Packet>) {
        let Some(transaction) = self.live.get(&id) else { return };
        let Some(bytes) = &transaction.last else { return };
        self.retransmissions += 1;
        let is_client = matches!(transaction.machine, Machine::InviteClient { .. } | Machine::Client(_));
        let bytes = Arc::clone(bytes);
        out.push_back(Packet { path: transaction.path, bytes, transaction: Some(id).filter(|_| is_client) });
    }

    fn insert(&mut self, transaction: Transaction) -> TransactionId {
        let id = self.reserve();
        self.insert_as(id, transaction);
        id
    }

    fn insert_as(&mut self, id: TransactionId, transaction: Transaction) {
        self.by_key.insert(transaction.key.clone(), id);
        if let Some(merge_key) = &transaction.merge_key {
            self.by_merge_key.insert(merge_key.clone(), id);
        }
        self.live.insert(id, transaction);
        self.settle(id);
    }

    /// After every event: moves the timer, forgets what is over.
    fn settle(&mut self, id: TransactionId) {
        let Some(transaction) = self.live.get_mut(&id) else { return };
        if transaction.is_over() {
            self.forget(id);
            return;
        }
        let deadline = transaction.deadline();
        if deadline != transaction.scheduled {
            if let Some(at) = transaction.scheduled {
                self.timers.remove(&(at, id));
            }
            if let Some(at) = deadline {
                self.timers.insert((at, id));
            }
            transaction.scheduled = deadline;
        }
    }

    /// The way that its messages go.
    pub(crate) fn path(&self, id: TransactionId) -> Option<Path> {
        Some(self.live.get(&id)?.path)
    }

    /// The INVITE of a client transaction.
    pub(crate) fn invite(&self, id: TransactionId) -> Option<&Message> {
        match &self.live.get(&id)?.machine {
            Machine::InviteClient { invite, .. } => Some(invite),
            _ => None,
        }
    }

    /// Forgets a transaction: it is over, or nothing will come of it.
    pub(crate) fn forget(&mut self, id: TransactionId) {
        let Some(transaction) = self.live.remove(&id) else { return };
        if let Some(at) = transaction.scheduled {
            self.timers.remove(&(at, id));
        }
        if self.by_key.get(&transaction.key) == Some(&id) {
            self.by_key.remove(&transaction.key);
        }
        if let Some(merge_key) = &transaction.merge_key
            && self.by_merge_key.get(merge_key) == Some(&id)
        {
            self.by_merge_key.remove(merge_key);
        }
        if self.live.is_empty() {
            // After a storm the tables give their memory back.
            self.live.shrink_to(TABLE);
            self.by_key.shrink_to(TABLE);
            self.by_merge_key.shrink_to(TABLE);
        }
    }
}
