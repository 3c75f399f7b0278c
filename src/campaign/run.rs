//! Calling: one task looks what is due, claims it, and has it called; a task each waits for the end of a call.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::PoisonError,
    time::Duration,
};

use jiff::Timestamp;
use tokio::{
    select,
    task::{self, JoinSet},
    time::{Instant, sleep},
};

use super::{Campaigns, Order, attempt::away};
use crate::{
    call::NotPlaced,
    dialplan::zone_named,
    store::{CampaignRow, Claim, ClaimedRow, Key, Stamp, StoreError},
};

/// How often it looks while campaigns run, and how often for one that another Milo was asked for.
const LOOK: Duration = Duration::from_secs(1);
const IDLE: Duration = Duration::from_secs(5);
/// How long it waits before a database that was away is asked again.
const AGAIN: Duration = Duration::from_secs(1);
/// Calls that begin within one look: between two of them, leases are renewed and calls ended.
const BURST: usize = 32;
/// The pause between two looks of which the first has not called all that it could.
const NEXT: Duration = Duration::from_millis(20);
/// How long a claim holds, and how often it is renewed. A Milo that cannot reach the database for so long loses its claims.
const LEASE: Duration = Duration::from_secs(180);
const RENEW: Duration = Duration::from_secs(20);
/// How long no look must have failed before anything of another Milo is taken over: what kept this one from the
/// database may have kept the other from renewing its leases, which it does within this time.
const CALM: Duration = Duration::from_secs(2 * RENEW.as_secs());
/// How long a campaign waits at most that was refused a call: what refused it may be over before.
const LONGEST_HOLD: Duration = Duration::from_secs(60);

/// A campaign that runs.
struct Running {
    id: Key,
    order: Order,
    zones: Vec<String>,
}

/// What came of a look at one of them.
enum Look {
    /// Somebody is called.
    Called,
    /// Nobody, for this reason.
    Waits(String),
}

/// The one task.
struct Runner {
    campaigns: Campaigns,
    /// A task each that waits for the end of a call, or of its row, and the claim that it holds.
    going: JoinSet<()>,
    claims: HashMap<task::Id, Claim>,
    /// Those that were refused a call: until when, and why.
    held: HashMap<Key, (Instant, String)>,
    renewed: Instant,
    /// When a look failed last.
    failed: Option<Instant>,
    /// What this Milo held when it was stopped is ended.
    has_taken_up: bool,
}

impl Campaigns {
    /// Calls what is to be called, until it is dropped. What is up then is ended at the next start.
    pub async fn run(self) {
        let runner = Runner {
            campaigns: self,
            going: JoinSet::new(),
            claims: HashMap::new(),
            held: HashMap::new(),
            renewed: Instant::now(),
            failed: None,
            has_taken_up: false,
        };
        runner.run().await;
    }
}

impl Runner {
    async fn run(mut self) {
        loop {
            let pause = match self.look().await {
                Ok(pause) => pause,
                Err(error) => {
                    away(&error);
                    self.failed = Some(Instant::now());
                    AGAIN
                }
            };
            self.campaigns.metrics.campaign_calls_live(self.going.len());
            select! {
                () = self.campaigns.changed.notified() => {}
                () = sleep(pause) => {}
                // A place is free.
                Some(ended) = self.going.join_next_with_id(), if !self.going.is_empty() => self.ended(ended),
            }
            while let Some(ended) = self.going.try_join_next_with_id() {
                self.ended(ended);
            }
        }
    }

    /// One that fell loses its claim by the lease.
    fn ended(&mut self, ended: Result<(task::Id, ()), task::JoinError>) {
        let id = match ended {
            Ok((id, ())) => id,
            Err(error) => error.id(),
        };
        self.claims.remove(&id);
    }

    /// Calls whom it may. Returns when it is to look again.
    async fn look(&mut self) -> Result<Duration, StoreError> {
        // Before any lease is looked at: the own ones hold.
        self.renew().await?;
        if !self.take_over().await? {
            return Ok(NEXT);
        }
        let running: VecDeque<Running> =
            self.campaigns.store.running_campaigns().await?.into_iter().filter_map(Running::read).collect();
        let known: HashSet<Key> = running.iter().map(|campaign| campaign.id).collect();
        self.held.retain(|id, _| known.contains(id));
        let (mut eager, mut waits, mut called) = (running, HashMap::new(), 0);
        // One call each in turn, so that none waits behind a long list.
        while let Some(campaign) = eager.pop_front() {
            if called == BURST {
                break;
            }
            match self.next(&campaign).await? {
                Look::Called => {
                    called += 1;
                    eager.push_back(campaign);
                }
                Look::Waits(why) => {
                    let Campaigns { store, node, log, .. } = &self.campaigns;
                    if !campaign.order.standing && store.finish_campaign(campaign.id, Stamp::now(), (node, log)).await?
                    {
                        tracing::info!(campaign.id = %campaign.id, "a campaign is finished");
                    } else {
                        waits.insert(campaign.id, why);
                    }
                }
            }
        }
        *self.campaigns.waits.lock().unwrap_or_else(PoisonError::into_inner) = waits;
        Ok(match (called, known.is_empty()) {
            (BURST, _) => NEXT,
            (_, true) => IDLE,
            (_, false) => LOOK,
        })
    }

    /// Holds what is called for longer.
    async fn renew(&mut self) -> Result<(), StoreError> {
        if self.renewed.elapsed() < RENEW {
            return Ok(());
        }
        for claim in self.claims.values() {
            self.campaigns.store.renew_claim(claim, lease(Stamp::now())).await?;
        }
        self.renewed = Instant::now();
        Ok(())
    }

    /// Ends some of what this Milo held when it was stopped, and of what is held by one that is gone. False while there may be more.
    async fn take_over(&mut self) -> Result<bool, StoreError> {
        let node = (!self.has_taken_up).then_some(&*self.campaigns.node);
        let is_calm = self.failed.is_none_or(|failed| failed.elapsed() >= CALM);
        // No lease ends before 1970: what this Milo held itself is all that is found then.
        let ended_by = if is_calm { Stamp::now() } else { Stamp::from_millis(0) };
        let left = self.campaigns.store.left_rows(ended_by, node).await?;
        let is_all = left.is_empty();
        for row in left {
            self.campaigns.end_left(row).await?;
        }
        self.has_taken_up |= is_all;
        Ok(is_all)
    }

    /// Has the next number of a campaign called, if one may be.
    async fn next(&mut self, campaign: &Running) -> Result<Look, StoreError> {
        let Campaigns { store, calls_out, node, .. } = &self.campaigns;
        if let Some((until, why)) = self.held.get(&campaign.id)
            && Instant::now() < *until
        {
            return Ok(Look::Waits(why.clone()));
        }
        let order = &campaign.order;
        // Another Milo may have the plan and the trunk.
        if let Err(why) = calls_out.knows(order.plan.as_deref(), order.trunk.as_ref()) {
            return Ok(Look::Waits(why.says().into()));
        }
        let (leave, free) = (order.leave(calls_out.limit()), calls_out.free());
        if free <= leave {
            return Ok(Look::Waits(format!("{free} places are free, and {leave} are left to those who call in")));
        }
        let (now, mut closed, mut is_open) = (Stamp::now(), None, false);
        for zone in &campaign.zones {
            let at = Timestamp::from_millisecond(now.millis()).unwrap_or_default();
            match zone_named(zone).map_or_else(Some, |known| order.open.closed(&known, at)) {
                Some(why) => closed = Some(format!("in {zone} {why}")),
                None => {
                    is_open = true;
                    let mine = (&**node, now, lease(now));
                    let claimed = store.claim_row(campaign.id, (zone, order.at_once), mine).await?;
                    for line in claimed.skipped {
                        self.campaigns.is_over(campaign.id, line).await;
                    }
                    if let Some(row) = claimed.row {
                        return Ok(self.call(campaign, row));
                    }
                }
            }
        }
        let busy = "as many are called as may be, or the next is not due yet";
        Ok(Look::Waits(closed.filter(|_| !is_open).unwrap_or_else(|| busy.into())))
    }

    /// Has a claimed row called.
    fn call(&mut self, campaign: &Running, row: ClaimedRow) -> Look {
        let (claim, campaigns) = (row.claim.clone(), self.campaigns.clone());
        let wanted = campaign.order.wanted(row.called.clone(), row.variables.clone());
        let (task, look) = match campaigns.calls_out.place_for(wanted, (campaign.id, claim.line)) {
            Ok((placed, over)) => {
                let retries = campaign.order.retries.clone();
                (self.going.spawn(campaigns.attend(retries, row, (placed.id, over))), Look::Called)
            }
            // It will not be another time, either: the next one.
            Err(NotPlaced::Forbidden(says)) => (self.going.spawn(campaigns.give_up(row, says)), Look::Called),
            // Each line was judged as the list came: what is wrong now are the plans or trunks of this Milo.
            Err(why) => {
                let seconds = match &why {
                    NotPlaced::TooMany(_, seconds) | NotPlaced::Busy(_, seconds) => *seconds,
                    _ => 1,
                };
                let until = Instant::now() + Duration::from_secs(seconds).min(LONGEST_HOLD);
                self.held.insert(campaign.id, (until, why.says().into()));
                (self.going.spawn(campaigns.release(row)), Look::Waits(why.says().into()))
            }
        };
        self.claims.insert(task.id(), claim);
        look
    }
}

impl Running {
    /// One that a newer Milo made, and this one cannot read, is left to that.
    fn read(row: CampaignRow) -> Option<Self> {
        let CampaignRow { id, settings, zones, .. } = row;
        let order = serde_json::from_value(settings).inspect_err(|error| {
            tracing::warn!(campaign.id = %id, %error, "the settings of a campaign cannot be read");
        });
        Some(Self { id, order: order.ok()?, zones })
    }
}

fn lease(now: Stamp) -> Stamp {
    Stamp::from_millis(now.millis().saturating_add(i64::try_from(LEASE.as_millis()).unwrap_or(i64::MAX)))
}
