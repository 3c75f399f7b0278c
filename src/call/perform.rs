//! The verbs on an answered line, one after the other.

use std::time::Duration;

use jiff::Timestamp;
use milo_signaling::Reason;
use serde_json::json;
use tokio::time::Instant;

use super::{
    Course, End, House, Left, Line, Record, TIME_UP,
    answering::{Talked, reason},
    ask::Gathered,
    talk::How,
};
use crate::{
    agent::{Ending, News, Suspended},
    dialplan::{Action, Gather, TRANSFER_RESULT, Variables},
    error::Error,
    likeness,
    store::HangupBy,
};

const ROUND: &str = "the plan went round too often";
const FAILED: &str = "engines failed again and again";
const NOT_UNDERSTOOD: &str = "the caller was not understood";

/// The verbs on an answered line.
pub(super) async fn perform(
    house: &House,
    recorded: bool,
    course: &mut Course<'_>,
    line: &mut Line,
    log: &mut Record,
) -> Result<End, Error> {
    if recorded {
        line.record(house, course.language(), log).await;
    }
    // Engines have failed, or understood nothing, and nobody has told the caller how it goes on.
    let (mut is_failing, mut failure) = (false, FAILED);
    while let Some(step) = course.next() {
        log.event("verb", json!(step.alone()));
        let language = course.language();
        let action = match course.variables.fill(step) {
            Ok(action) => action,
            Err(why) => {
                // A fault may quote the value, which may be what was pressed.
                log.event("verb_failed", json!({ "verb": step.verb(), "why": log.masked(&why) }));
                line.not_done("a value has no place where it would stand");
                continue;
            }
        };
        match &action {
            Action::Ring { .. } | Action::Early {} | Action::Answer {} => {}
            Action::Hangup { cause: Some(cause) } => {
                line.other.because(Reason::q850(*cause)).await;
                break;
            }
            Action::Reject { .. } | Action::Redirect { .. } | Action::Hangup { cause: None } => break,
            Action::Converse { persona, failed, detect } => {
                let how = How { persona, detect: detect.as_ref(), is_relieved: failed.is_some() };
                let plan = course.plan().name.as_str();
                let talked = line.converse(house, how, (plan, &mut course.variables), language, log).await?;
                is_failing = false;
                let ending = match talked {
                    Talked::Ended(ending) => ending,
                    Talked::GoOn(plan) => {
                        course.go(&plan);
                        continue;
                    }
                    Talked::Over(reason) => return Ok(End::new(HangupBy::Milo, reason)),
                };
                let reason = match ending {
                    Ending::Goodbye => continue,
                    Ending::Tool => {
                        line.suspended.iter().filter_map(Suspended::tool).for_each(|tool| course.act(tool));
                        continue;
                    }
                    Ending::TakenOver => {
                        if let Some(supervisor) = line.suspended.as_mut().and_then(Suspended::supervisor) {
                            line.taken_over(supervisor, (house, language), log).await;
                        }
                        if line.lost() {
                            return Ok(End::new(HangupBy::Network, "no packets came any more"));
                        }
                        course.again();
                        continue;
                    }
                    Ending::Lost => return Ok(End::new(HangupBy::Network, "no packets came any more")),
                    Ending::Silence => "the caller was silent",
                    Ending::TimeUp => TIME_UP,
                    Ending::Failure | Ending::NotUnderstood => {
                        failure = if ending == Ending::Failure { FAILED } else { NOT_UNDERSTOOD };
                        if let Some(plan) = failed {
                            log.event("relieved", json!({ "plan": plan, "why": failure }));
                            (line.suspended, is_failing) = (None, true);
                            course.go(plan);
                            continue;
                        }
                        failure
                    }
                    Ending::Answered(who) => reason(who),
                };
                return Ok(End::new(HangupBy::Milo, reason));
            }
            Action::Echo {} => line.echo().await,
            Action::Play(_) | Action::Music { .. } | Action::Tone { .. } => {
                is_failing &= !matches!(action, Action::Play(_));
                line.sound(&action, house, log).await;
            }
            Action::Recording(step) => line.turn_recording(*step, house, language, log).await,
            Action::Dial(dial) => {
                let result = line.dial(dial, house, language, log).await;
                is_failing &= result != "joined";
                course.variables.set(TRANSFER_RESULT, result.into());
                log.news(News::CameBack(result));
            }
            Action::Message(message) => line.text(message, house, log).await,
            Action::Transfer(transfer) => {
                let (is_away, result) = line.transfer(transfer, house, language, log).await;
                is_failing &= result != "joined";
                course.variables.set(TRANSFER_RESULT, result.into());
                log.news(News::CameBack(result));
                if is_away {
                    return Ok(End::new(HangupBy::Milo, "the caller was transferred"));
                }
            }
            Action::Hold(hold) => line.hold(hold, house, log).await,
            Action::Queue(queue) => {
                let left = line.queue(queue, (house, language), log).await;
                is_failing &= left != Left::Answered;
                queue.into.iter().for_each(|name| course.variables.set(name, left.as_str().into()));
                let next = match left {
                    Left::Full => queue.full.as_ref().or(queue.failed.as_ref()),
                    Left::Timeout => queue.failed.as_ref(),
                    Left::Answered | Left::Abandoned | Left::Left => None,
                };
                next.into_iter().for_each(|plan| course.go(plan));
            }
            Action::Bridge(bridge) => {
                let joined = line.bridge(bridge, (house, language), log).await;
                is_failing &= !joined;
                let result = if joined { "joined" } else { "nobody" };
                bridge.into.iter().for_each(|name| course.variables.set(name, result.into()));
                bridge.failed.iter().filter(|_| !joined).for_each(|plan| course.go(plan));
            }
            Action::Webhook(webhook) => {
                let about = (course.plan().name.as_str(), language, &course.variables);
                let answer = line.webhook(webhook, about, house, log).await;
                let next = match answer {
                    Some(answer) => {
                        answer.set.into_iter().for_each(|(name, value)| course.variables.set(&name, value));
                        answer.plan
                    }
                    None => {
                        line.not_done("the program that was asked has not answered as it should");
                        webhook.failed.clone()
                    }
                };
                next.iter().for_each(|plan| course.go(plan));
            }
            Action::Digits {} => line.digits(house, language, log).await,
            Action::SendDigits { digits, by } => line.send_digits(digits, *by, log).await?,
            Action::Say(say) => {
                is_failing = false;
                line.say(say, house, language, log).await;
            }
            Action::Gather(gather) => {
                let today = course.plan().day(Timestamp::now());
                let gathered = line.gather(gather, house, (language, today), log).await;
                let failed = gather.failed.as_ref().filter(|_| gathered.is_none());
                if gathered.is_none() {
                    line.not_done("the caller did not say what was asked for");
                }
                keep(gather, gathered, &mut course.variables);
                failed.into_iter().for_each(|plan| course.go(plan));
            }
            Action::Menu(menu) => {
                let key = line.menu(menu, house, language, log).await;
                // Those within it are filled when their turn comes.
                if let Action::Menu(menu) = step {
                    course.enter(key.and_then(|key| menu.keys.get(&key)).unwrap_or(&menu.otherwise), 1);
                }
            }
            Action::LookUp(look_up) => {
                let likeness = house.likeness.as_ref().filter(|_| log.notes().mode().is_none());
                let found = likeness::look_up(&line.edition.dialplans, look_up, likeness).await;
                log.event("looked_up", json!({ "within": look_up.within, "found": !found.is_empty() }));
                course.variables.set(&look_up.into, found);
            }
            Action::Request(request) => {
                let wished = log.notes().request(request, &mut course.variables, &house.campaigns).await;
                if let Err(why) = wished {
                    log.event("verb_failed", json!({ "verb": "request", "why": why }));
                    line.not_done(why);
                }
            }
            Action::Set(values) => values.iter().for_each(|(name, value)| course.variables.set(name, value.clone())),
            Action::Goto(plan) => course.go(plan),
            Action::Repeat { times, .. } => {
                if let Action::Repeat { actions, .. } = step {
                    course.enter(actions, *times);
                }
            }
            Action::Wait { seconds } => line.wait(Duration::from_secs(*seconds), log).await,
            Action::Record(message) => line.message((message, "message"), house, language, log).await,
            Action::Voicemail(voicemail) => {
                is_failing = false;
                line.voicemail(voicemail, house, language, log).await;
            }
        }
        if line.lost() {
            return Ok(End::new(HangupBy::Network, "no packets came any more"));
        }
    }
    // A plan's own end is as the plan wants it; these are not.
    let reason = match (course.is_spent(), Instant::now() >= line.until) {
        (true, _) => ROUND,
        (false, true) => TIME_UP,
        (false, false) if is_failing => failure,
        (false, false) => return Ok(End::new(HangupBy::Milo, "the plan is done")),
    };
    line.farewell(log).say(reason).await;
    Ok(End::new(HangupBy::Milo, reason))
}

/// Keeps what was gathered in the variables that the plan has for it; without it, they are empty.
fn keep(gather: &Gather, gathered: Option<Gathered>, variables: &mut Variables) {
    let (value, words, percent) = gathered.map_or_else(Default::default, |gathered| {
        (gathered.value, gathered.words, gathered.percent.map(|percent| percent.to_string()).unwrap_or_default())
    });
    variables.set(&gather.into, value);
    gather.transcript.iter().for_each(|name| variables.set(name, words.clone()));
    gather.confidence.iter().for_each(|name| variables.set(name, percent.clone()));
}
