//! `milo dialplan check` and `milo dialplan test`.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use jiff::Timestamp;

use super::{Facts, Faults, Identified, Origin, Surroundings};
use crate::{config::Config, store::Stamp};

/// What is done with dialplans from the command line.
#[derive(clap::Subcommand)]
pub enum What {
    /// Read all files and tell every fault with its file, line, verb and field.
    Check {
        /// The folder with *.toml and personas/ [default: as the configuration says]
        folder: Option<PathBuf>,
    },
    /// Say which plan a call would get, and why not the others.
    Test(Call),
}

/// A call that might come.
#[derive(clap::Args)]
pub struct Call {
    /// The caller's number.
    #[arg(long, default_value = "", allow_hyphen_values = true)]
    from: String,
    /// The number that its trunk asserts (P-Asserted-Identity), where the caller shows none: --from anonymous.
    #[arg(long, default_value = "", allow_hyphen_values = true)]
    asserted: String,
    /// The number that is called.
    #[arg(long)]
    to: String,
    /// The trunk over which the call comes; without it, it is a call of this machine.
    #[arg(long)]
    trunk: Option<String>,
    /// When it comes, such as 2026-11-30T10:00:00+03:00 [default: now]
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// A header field of its INVITE; may be given again.
    #[arg(long, value_name = "NAME: VALUE")]
    header: Vec<String>,
    /// The folder with *.toml and personas/ [default: as the configuration says]
    folder: Option<PathBuf>,
}

/// Does it, and says whether all was right (and a plan was found). The trunks, accounts and hosts that plans may name are those
/// of the configuration.
///
/// # Errors
/// The configuration cannot be read, or the command line is wrong.
pub fn run(what: What, config: &Config) -> Result<bool> {
    let around = Surroundings::of(config)?;
    let read =
        |folder: Option<PathBuf>| folder.map_or_else(|| Origin::of(&config.dialplans), Origin::Folder).read(&around);
    match what {
        What::Check { folder } => match read(folder) {
            Ok(dialplans) => {
                let (plans, personas) = (dialplans.plans().len(), dialplans.personas().count());
                let tools = match dialplans.tools() {
                    0 => String::new(),
                    1 => ", 1 tool".into(),
                    more => format!(", {more} tools"),
                };
                let lines = dialplans.lines().len();
                let queues = if lines > 0 { format!(", {lines} queues") } else { String::new() };
                println!(
                    "{}: {plans} plans and {personas} personas{tools}{queues}, all right",
                    dialplans.folder().display()
                );
                Ok(true)
            }
            Err(Faults(faults)) => {
                faults.iter().for_each(|fault| println!("{fault}"));
                Ok(false)
            }
        },
        What::Test(call) => {
            let facts = call.facts()?;
            let dialplans = read(call.folder.clone())?;
            for verdict in dialplans.explain(&facts) {
                let told = verdict.why.as_deref().unwrap_or("runs");
                println!("{:?} ({}, line {}): {told}", verdict.plan, verdict.file.display(), verdict.line);
            }
            let chosen = dialplans.choose(&facts);
            if chosen.is_none() {
                println!("no plan runs: the call is refused with 404");
            }
            Ok(chosen.is_some())
        }
    }
}

impl Call {
    fn facts(&self) -> Result<Facts> {
        let at = match &self.at {
            Some(at) => at
                .parse()
                .with_context(|| format!("--at {at:?} is no moment; one looks like 2026-11-30T10:00:00+03:00"))?,
            None => Timestamp::from_millisecond(Stamp::now().millis())?,
        };
        let identity = Identified { asserted: self.asserted.clone(), ..Identified::default() };
        let (from, to, trunk) = (self.from.clone(), self.to.clone(), self.trunk.clone());
        let mut facts = Facts { from, to, trunk, at, identity, ..Facts::default() };
        for header in &self.header {
            let Some((name, value)) = header.split_once(':') else {
                bail!("--header {header:?} is no header field; one looks like \"X-Queue: sales\"");
            };
            facts.headers.insert(name.trim().to_ascii_lowercase(), value.trim().into());
        }
        Ok(facts)
    }
}
