//! Files into plans: everything that can be read is, so that all faults are told at once.

use std::{fs, io, path::Path};

use serde::de::DeserializeOwned;
use toml::{
    Spanned,
    de::{DeTable, DeValue, ValueDeserializer},
};

use super::{
    Action, Block, Plan, Tool,
    fault::{Fault, Source},
    hours::Calendar,
};

/// The plans of one file; what is wrong is added to `faults`, and what it is about left out.
pub(super) fn plans(source: &Source, faults: &mut Vec<Fault>) -> Vec<Plan> {
    let mut wrong = |at: Option<usize>, fault: String| faults.push(source.fault(at, fault));
    let (mut table, span) = match DeTable::parse(&source.text) {
        Ok(table) => (table.get_ref().clone(), table.span()),
        Err(error) => {
            wrong(error.span().map(|span| span.start), error.message().into());
            return Vec::new();
        }
    };
    let written = table.remove("plan");
    let rest = Spanned::new(span, DeValue::Table(table));
    let calendar: Option<Calendar> = one(rest, "").map_err(|(at, fault)| wrong(at, fault)).ok();
    let Some(written) = written else {
        wrong(None, "there is no [[plan]] in it".into());
        return Vec::new();
    };
    let at = written.span().start;
    let DeValue::Array(written) = written.into_inner() else {
        wrong(Some(at), "write [[plan]], with two brackets on each side".into());
        return Vec::new();
    };
    let mut plans = Vec::new();
    for plan in written {
        let span = plan.span();
        let DeValue::Table(mut table) = plan.into_inner() else {
            wrong(Some(span.start), "plan: a table with name, language and actions is wanted".into());
            continue;
        };
        let named = table.get("name").and_then(|name| name.get_ref().as_str()).unwrap_or_default().to_owned();
        let place = format!("plan {named:?}: ");
        let actions = table.remove("actions");
        let plan = one::<Plan>(Spanned::new(span.clone(), DeValue::Table(table)), &place);
        let Some(actions) = actions else {
            wrong(Some(span.start), format!("{place}missing field `actions`"));
            continue;
        };
        let actions_at = actions.span().start;
        match (plan, &calendar, block(actions, &place, &mut wrong)) {
            (Ok(plan), Some(calendar), Some(actions)) => plans.push(Plan {
                actions,
                actions_at,
                at: span.start,
                line: source.line(span.start),
                file: source.path.clone(),
                calendar: calendar.clone(),
                ..plan
            }),
            (Err((at, fault)), ..) => wrong(at, fault),
            _ => {}
        }
    }
    plans
}

/// A tool, by the name of its file; what is wrong is added to `faults`.
pub(super) fn tool(source: &Source, faults: &mut Vec<Fault>) -> Option<Tool> {
    let mut wrong = |at: Option<usize>, fault: String| faults.push(source.fault(at, fault));
    let parsed = DeTable::parse(&source.text);
    let (mut table, span) = match parsed {
        Ok(table) => (table.get_ref().clone(), table.span()),
        Err(error) => {
            wrong(error.span().map(|span| span.start), error.message().into());
            return None;
        }
    };
    let Some(actions) = table.remove("actions") else {
        wrong(None, "missing field `actions`".into());
        return None;
    };
    let actions = block(actions, "", &mut wrong);
    let tool = one::<Tool>(Spanned::new(span, DeValue::Table(table)), "").map_err(|(at, fault)| wrong(at, fault));
    let mut tool = tool.ok()?;
    (tool.name, tool.actions) = (source.name(), actions?);
    Some(tool)
}

/// Verbs; none where one of them is wrong.
fn block(actions: Spanned<DeValue<'_>>, place: &str, wrong: &mut impl FnMut(Option<usize>, String)) -> Option<Block> {
    let at = actions.span().start;
    let DeValue::Array(actions) = actions.into_inner() else {
        wrong(Some(at), format!("{place}actions: a list of verbs is wanted"));
        return None;
    };
    let mut steps = Some(Block::new());
    for action in actions {
        match one::<Spanned<Action>>(action, place) {
            Ok(step) => steps.iter_mut().for_each(|steps| steps.push(step.clone())),
            Err((at, fault)) => {
                wrong(at, fault);
                steps = None;
            }
        }
    }
    steps
}

/// One value as its type; else where it is wrong, and a sentence that begins with the place and the field.
fn one<T: DeserializeOwned>(value: Spanned<DeValue<'_>>, place: &str) -> Result<T, (Option<usize>, String)> {
    let start = value.span().start;
    serde_path_to_error::deserialize(ValueDeserializer::from(value)).map_err(|error| {
        let path = error.path().to_string();
        // Where a value stands is asked of the parser under a name of its own.
        let field: Vec<_> = path.split('.').filter(|part| !part.starts_with("$__") && *part != "?").collect();
        let at = error.inner().span().map_or(start, |span| span.start);
        let said = error.inner().message().to_owned();
        let field = if field.is_empty() { String::new() } else { format!("{}: ", field.join(".")) };
        (Some(at), format!("{place}{field}{said}"))
    })
}

/// The files of a folder that end in `.toml`, in the order of their names.
pub(super) fn files(folder: &Path, faults: &mut Vec<Fault>) -> Vec<Source> {
    let unreadable = |path: &Path, error: &io::Error| Source::new(path, "").fault(None, error.to_string());
    let mut paths = Vec::new();
    match fs::read_dir(folder) {
        Err(error) => faults.push(unreadable(folder, &error)),
        Ok(entries) => {
            for entry in entries {
                match entry.map(|entry| entry.path()) {
                    Ok(path) if path.extension().is_some_and(|ending| ending == "toml") => paths.push(path),
                    Ok(_) => {}
                    Err(error) => faults.push(unreadable(folder, &error)),
                }
            }
        }
    }
    paths.sort();
    let mut sources = Vec::new();
    for path in paths {
        match fs::read_to_string(&path) {
            Ok(text) => sources.push(Source { path, text }),
            Err(error) => faults.push(unreadable(&path, &error)),
        }
    }
    sources
}
