//! Where a call is in its plan: the verb that comes next, and the blocks that it stands in.

use milo_models::engine::Language;

use crate::dialplan::{Action, Dialplans, Plan, Step, Variables};

/// As many verbs as one call does: what goes round faster than any plan should ends here.
const VERBS: usize = 2_000;

/// The way of one call through the plans.
pub(super) struct Course<'a> {
    dialplans: &'a Dialplans,
    plan: &'a Plan,
    blocks: Vec<Place<'a>>,
    done: usize,
    pub(super) variables: Variables,
}

/// A place in a block, and how often the block is still to be done after this time.
struct Place<'a> {
    block: &'a [Step],
    next: usize,
    again: u32,
}

impl<'a> Course<'a> {
    /// Begins with the first verb of a plan.
    pub(super) fn new(dialplans: &'a Dialplans, plan: &'a Plan, variables: Variables) -> Self {
        let mut course = Self { dialplans, plan, blocks: Vec::new(), done: 0, variables };
        course.enter(&plan.actions, 1);
        course
    }

    /// The plan it is in.
    pub(super) fn plan(&self) -> &'a Plan {
        self.plan
    }

    pub(super) fn language(&self) -> Language {
        self.plan.language
    }

    /// The verb that comes next; `None` when there are no more, or too many were done.
    pub(super) fn peek(&mut self) -> Option<&'a Action> {
        loop {
            let place = self.blocks.last_mut()?;
            if let Some(step) = place.block.get(place.next) {
                return (!self.is_spent()).then_some(step.get_ref());
            }
            if place.again > 0 && !place.block.is_empty() {
                (place.next, place.again) = (0, place.again - 1);
            } else {
                self.blocks.pop();
            }
        }
    }

    /// Takes the verb that comes next.
    pub(super) fn next(&mut self) -> Option<&'a Action> {
        let action = self.peek()?;
        self.done += 1;
        self.blocks.last_mut()?.next += 1;
        Some(action)
    }

    /// Whether it has done as much as a call may.
    pub(super) fn is_spent(&self) -> bool {
        self.done >= VERBS
    }

    /// Does a block before it goes on, so many times.
    pub(super) fn enter(&mut self, block: &'a [Step], times: u32) {
        self.blocks.push(Place { block, next: 0, again: times.saturating_sub(1) });
    }

    /// Does the last verb again: a conversation goes on.
    pub(super) fn again(&mut self) {
        if let Some(place) = self.blocks.last_mut() {
            place.next = place.next.saturating_sub(1);
        }
    }

    /// Does the verbs of a tool, and then the last verb again: the conversation that has asked for it.
    pub(super) fn act(&mut self, tool: &str) {
        self.again();
        if let Some(tool) = self.dialplans.tool(tool) {
            self.enter(&tool.actions, 1);
        }
    }

    /// Goes on with another plan, and does not come back.
    pub(super) fn go(&mut self, name: &str) {
        self.blocks.clear();
        // Every name in a checked plan is known.
        if let Some(plan) = self.dialplans.plan(name) {
            self.plan = plan;
            self.enter(&plan.actions, 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialplan::Facts;

    fn plans(text: &str) -> Dialplans {
        Dialplans::of_text(text).expect("plans")
    }

    fn plan(name: &str, verbs: &str) -> String {
        format!(
            "[[plan]]\nname = '{name}'\nnumber = '{name}'\nlanguage = 'mg'\nactions = [{{ answer = {{}} }}, {verbs}]\n"
        )
    }

    /// What is done, by the first letter of the verbs that take time, when menus and gotos are followed at once.
    fn done(plans: &Dialplans) -> (String, bool) {
        let first = plans.plan("a").expect("a plan");
        let mut course = Course::new(plans, first, Variables::new(Facts::default(), String::new()));
        let mut done = String::new();
        while let Some(action) = course.next() {
            match action {
                Action::Repeat { times, actions } => course.enter(actions, *times),
                Action::Goto(name) => course.go(name),
                action => done.push_str(&action.verb()[..1]),
            }
        }
        (done, course.is_spent())
    }

    #[test]
    fn blocks_are_done_as_often_as_they_say_and_the_plan_goes_on() {
        let inner = "{ repeat = { times = 2, actions = [{ echo = {} }] } }";
        let text = plan(
            "a",
            &format!("{{ repeat = {{ times = 2, actions = [{{ digits = {{}} }}, {inner}] }} }}, {{ hangup = {{}} }}"),
        );
        assert_eq!(done(&plans(&text)), ("adeedeeh".into(), false));
        let empty = plan("a", "{ repeat = { times = 100, actions = [] } }, { hangup = {} }");
        assert_eq!(done(&plans(&empty)), ("ah".into(), false));
    }

    #[test]
    fn goto_does_not_come_back_and_what_goes_round_ends() {
        let there = plan("a", "{ repeat = { times = 2, actions = [{ echo = {} }, { goto = 'b' }] } }, { hangup = {} }");
        assert_eq!(done(&plans(&(there + &plan("b", "{ digits = {} }")))), ("aead".into(), false));
        let round = plan("a", "{ echo = {} }, { goto = 'a' }");
        let (verbs, spent) = done(&plans(&round));
        assert!(spent && verbs.len() < VERBS, "{}", verbs.len());
    }
}
