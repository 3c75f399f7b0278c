//! The `milo` program: one command line, one runtime for the process and one for the legs.

use std::{
    env,
    io::{IsTerminal, Write as _},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use milo::{
    bench,
    config::{Config, Loaded, Sources},
    dialplan, doctor, engines, eval, keys, logging,
    phone::{Errand, Phone},
    press::{self, PressBy},
    replay, self_call,
    server::{Server, Signals},
    sim, weights,
};
use milo_media::{CODECS, Codec};
use milo_models::{engine::leave, onnx::KEPT_TO_ITSELF};
use milo_signaling::{Srtp, Trust, User};
use tokio::runtime::{Builder, Runtime};

/// A telephone voice agent that speaks Malagasy first.
#[derive(Parser)]
#[command(name = "milo", version, about)]
struct Arguments {
    /// The configuration file [default: ./milo.toml, then /etc/milo/milo.toml, then built-in values]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Answer calls (the default).
    Serve,
    /// Call a SIP address: play files as turns, record and measure what comes back.
    Call(CallArguments),
    /// Measure; each bench starts a Milo of its own, unless it is given a target.
    Bench {
        #[command(subcommand)]
        which: bench::Which,
    },
    /// Evaluate what ships, or other models: text for speech and back, the Malagasy voice, set phrases, translator, ears (on recordings too), voice, mind.
    Eval {
        #[command(subcommand)]
        which: Option<eval::Which>,
    },
    /// Have simulated callers call a Milo, and say what was not as their scenarios expect it; a Milo is started for them, unless there is a target.
    Sim(sim::Arguments),
    /// Hear recorded calls again with other thresholds: when turns would have been over, who would have been cut off, what would have interrupted.
    Replay(replay::Arguments),
    /// Check all that a start needs, with a call to itself, and say how to mend each fault.
    Doctor,
    /// Check dialplans, and say which one a call would get.
    Dialplan {
        #[command(subcommand)]
        what: dialplan::command::What,
    },
    /// Make accounts for telephones.
    Sip {
        #[command(subcommand)]
        what: SipCommand,
    },
    /// Make, list, rotate and revoke keys of the API.
    Keys {
        #[command(subcommand)]
        what: keys::command::What,
    },
    /// List models, fetch larger ones than those that ship, check and remove them.
    Models {
        #[command(subcommand)]
        what: weights::What,
    },
    /// Look at the configuration.
    Config {
        #[command(subcommand)]
        what: ConfigCommand,
    },
}

#[derive(clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
struct CallArguments {
    /// Whom to call: sip:milo@127.0.0.1:5060, with ;transport=tcp for TCP; with ;transport=tls or as sips: for TLS.
    uri: String,
    /// A WAV file to play as a turn, once the far side is silent; may be given again.
    #[arg(long, value_name = "FILE")]
    play: Vec<PathBuf>,
    /// A last WAV file, played into the reply to the one before it.
    #[arg(long, value_name = "FILE")]
    interrupt: Option<PathBuf>,
    /// Keys to press (0 to 9, *, #, A to D) after the greeting and before the first file: a turn of its own.
    #[arg(long, value_name = "KEYS", value_parser = keys)]
    digits: Option<String>,
    /// How to press them: as agreed (telephone-event, else tones), by SIP INFO, or as tones.
    #[arg(long, value_name = "WAY", value_enum, default_value_t, requires = "digits")]
    digits_by: PressBy,
    /// Stay on the line until the far side hangs up.
    #[arg(long)]
    wait: bool,
    /// Begin at once, without waiting for a greeting.
    #[arg(long)]
    no_greeting: bool,
    /// Write what came back, 16 kHz mono.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Do not transcribe what came back.
    #[arg(long)]
    no_transcript: bool,
    /// Speak this codec and no other: opus, G722, PCMA or PCMU [default: PCMU, else PCMA]
    #[arg(long, value_name = "NAME", value_parser = codec)]
    codec: Option<&'static Codec>,
    /// Offer SRTP and nothing else, its keys in the SDP (sdes) or by a handshake (dtls).
    #[arg(long, value_name = "sdes|dtls")]
    srtp: Option<Keying>,
    /// Over TLS, believe the authorities of this PEM file [default: those of the system].
    #[arg(long, value_name = "FILE", conflicts_with = "tls_insecure")]
    tls_ca: Option<PathBuf>,
    /// Over TLS, believe whoever answers.
    #[arg(long)]
    tls_insecure: bool,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

/// How `--srtp` agrees on keys.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Keying {
    Sdes,
    Dtls,
}

#[derive(Subcommand)]
enum SipCommand {
    /// Read a password from standard input and print the line of an account for the file of `[sip] accounts`.
    Account {
        /// Its name: letters, digits, - _ . +
        #[arg(value_parser = account)]
        name: String,
    },
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Read file and environment and print what is in force, secrets masked.
    Check,
}

fn main() {
    let (variable, value) = KEPT_TO_ITSELF;
    // SAFETY: nothing was done before this, so there is no other thread that could read the environment meanwhile.
    unsafe { env::set_var(variable, value) };
    let arguments = Arguments::parse();
    let code = match run(arguments) {
        Ok(code) => code,
        Err(error) => {
            // Most errors say their cause already.
            let mut said = error.to_string();
            for cause in error.chain().skip(1).map(ToString::to_string) {
                if !said.contains(&cause) {
                    said = format!("{said}: {cause}");
                }
            }
            eprintln!("milo: {said}");
            ExitCode::FAILURE
        }
    };
    std::io::stdout().flush().ok();
    // An engine may be in the middle of what nobody waits for any more.
    leave(code == ExitCode::SUCCESS)
}

fn run(arguments: Arguments) -> Result<ExitCode> {
    let sources = Sources::of_process(arguments.config);
    match arguments.command.unwrap_or(Command::Serve) {
        Command::Config { what: ConfigCommand::Check } => {
            let loaded = Config::load(&sources)?;
            println!("{}", loaded.describe().trim_end());
            Ok(ExitCode::SUCCESS)
        }
        Command::Sip { what: SipCommand::Account { name } } => {
            let Loaded { config, .. } = Config::load(&sources)?;
            println!("{}", User::new(&name, &config.sip.realm, &password()?).line(&config.sip.realm));
            Ok(ExitCode::SUCCESS)
        }
        Command::Serve => {
            let Loaded { config, notes, .. } = Config::load(&sources)?;
            logging::start(&config.log).map_err(anyhow::Error::msg)?;
            for note in notes {
                tracing::warn!("{note}");
            }
            let (main, legs) = runtimes()?;
            main.block_on(async {
                let server = Server::start(&config, legs.handle()).await?;
                let signals = Signals::caught()?;
                println!("{}", server.welcome());
                // A pipe may lead into a log, which others read.
                if let Some(link) = std::io::stdout().is_terminal().then(|| server.sign_in()).flatten() {
                    println!("{link}");
                }
                server.until(signals).await;
                anyhow::Ok(())
            })?;
            legs.shutdown_timeout(Duration::from_secs(1));
            main.shutdown_timeout(Duration::from_secs(1));
            Ok(ExitCode::SUCCESS)
        }
        Command::Dialplan { what } => {
            let right = dialplan::command::run(what, &Config::load(&sources)?.config)?;
            Ok(if right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::Keys { what } => {
            let Loaded { config, .. } = Config::load(&sources)?;
            let (main, _legs) = runtimes()?;
            main.block_on(keys::command::run(what, &config))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Models { what } => {
            let Loaded { config, .. } = Config::load(&sources)?;
            let (main, _legs) = runtimes()?;
            let right = main.block_on(weights::run(what, &config, &sources.environment))?;
            Ok(if right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::Call(call) => {
            let Loaded { mut config, .. } = Config::load(&sources)?;
            config.log.level = "warn".into();
            logging::start(&config.log).map_err(anyhow::Error::msg)?;
            let (main, legs) = runtimes()?;
            main.block_on(place(&config, call, legs.handle()))
        }
        Command::Bench { which } => {
            let (main, legs) = runtimes()?;
            main.block_on(bench::run(which, legs.handle(), || Ok(Config::load(&sources)?.config)))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Eval { which } => {
            let (main, _legs) = runtimes()?;
            let right = main.block_on(eval::run(which, || Ok(Config::load(&sources)?.config)))?;
            Ok(if right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::Sim(arguments) => {
            let (main, legs) = runtimes()?;
            let right = main.block_on(sim::run(arguments, legs.handle()))?;
            Ok(if right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::Replay(arguments) => {
            let (main, _legs) = runtimes()?;
            main.block_on(replay::run(arguments, sources))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Doctor => {
            let loaded = Config::load(&sources);
            let (main, legs) = runtimes()?;
            let sound = main.block_on(doctor::run(loaded, async |config: &Config, findings: &mut doctor::Findings| {
                self_call::check(config, legs.handle(), findings).await;
            }));
            Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}

/// The name of an account.
fn account(text: &str) -> Result<String, String> {
    User::may_be_called(text).then(|| text.to_owned()).ok_or_else(|| "1 to 64 letters, digits, - _ . +".into())
}

/// A password from standard input: one line.
fn password() -> Result<String> {
    if std::io::stdin().is_terminal() {
        eprintln!("The password, then Enter (it is shown as it is typed; a pipe or a file keeps it to itself):");
    }
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).context("the password")?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        bail!("there is no password on standard input");
    }
    Ok(password.to_owned())
}

/// Keys of the command line.
fn keys(text: &str) -> Result<String, String> {
    press::fault(text).map_or_else(|| Ok(text.to_owned()), Err)
}

/// One runtime for everything, one for the legs: no amount of other work moves their 20 ms clocks.
fn runtimes() -> Result<(Runtime, Runtime)> {
    let main = Builder::new_multi_thread().enable_all().thread_name("milo").build();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let legs = Builder::new_multi_thread().enable_all().thread_name("legs").worker_threads(cores.min(2)).build();
    Ok((main.context("the main runtime")?, legs.context("the legs' runtime")?))
}

fn codec(name: &str) -> Result<&'static Codec, String> {
    let known: Vec<_> = CODECS.iter().map(|codec| codec.name).collect();
    Codec::named(name).ok_or_else(|| format!("no such codec; there are {}", known.join(", ")))
}

async fn place(config: &Config, call: CallArguments, legs: &tokio::runtime::Handle) -> Result<ExitCode> {
    let Ok(target) = call.uri.parse() else {
        bail!("{:?} is no SIP address; one looks like sip:milo@127.0.0.1:5060", call.uri);
    };
    let transcriber = if call.no_transcript { None } else { Some(engines::transcriber(config)?) };
    let srtp = match call.srtp {
        None => Srtp::Off,
        Some(Keying::Sdes) => Srtp::Required(milo_signaling::Keying::Sdes),
        Some(Keying::Dtls) => Srtp::Required(milo_signaling::Keying::Dtls),
    };
    let codecs = call.codec.map_or_else(Phone::usual_codecs, |codec| vec![codec]);
    let mut phone = Phone::with(codecs, srtp, &target, transcriber, legs.clone())?;
    if call.tls_insecure {
        phone = phone.trusting(Trust::anybody());
    } else if let Some(file) = &call.tls_ca {
        phone = phone.trusting(Trust::authorities(file)?);
    }
    let errand = Errand {
        target,
        play: call.play,
        interrupt: call.interrupt,
        digits: call.digits.map(|digits| (digits, call.digits_by)),
        wait: call.wait,
        no_greeting: call.no_greeting,
        record: call.record,
    };
    // Ctrl-C hangs up; what was heard so far is kept and reported.
    let interrupted = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    let report = phone.call_until(&errand, interrupted).await;
    phone.shutdown().await;
    let report = report?;
    if call.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        println!("{report}");
    }
    let unanswered = report.turns.iter().any(|turn| turn.reply.is_none() && turn.barge_stop_ms.is_none());
    Ok(if unanswered { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
