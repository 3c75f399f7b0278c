//! What the benches of turn taking share: a Milo that greets with a sentence of theirs.

use std::{fs, path::Path};

use anyhow::{Context, Result};

/// Writes a dialplan whose agent greets so whoever calls `milo` or a case (`case-1`, `case-2`, …), and says where it lies.
pub(super) fn greeting(folder: &Path, sentence: &str) -> Result<String> {
    let plans = folder.join("plans");
    fs::create_dir_all(plans.join("personas"))?;
    let persona = include_str!("../../dialplans/personas/demo.toml");
    let (before, after) = persona.split_once("\n[mg]\n").context("the demonstration persona speaks Malagasy")?;
    let usual = after.lines().find(|line| line.starts_with("greeting")).context("it greets")?;
    let own = after.replacen(usual, &format!("greeting = {sentence:?}"), 1);
    fs::write(plans.join("personas/own.toml"), format!("{before}\n[mg]\n{own}"))?;
    let plan = |name: &str, number: &str| {
        format!(
            "[[plan]]\nname = \"{name}\"\nnumber = \"{number}\"\nlanguage = \"mg\"\n\
             actions = [{{ answer = {{}} }}, {{ converse = {{ persona = \"own\" }} }}, {{ hangup = {{}} }}]\n"
        )
    };
    fs::write(plans.join("plans.toml"), plan("milo", "milo") + &plan("cases", "case-*"))?;
    Ok(plans.display().to_string())
}
