//! One opened graph: what it says about itself, and a run of it. It is in this process, or a model on an inference server; who runs it sees
//! no difference but the errors.

use std::{
    borrow::Cow,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use ort::{
    session::{Session, SessionInputValue},
    value::{DynValue, TensorElementType, ValueType},
};

use crate::{engine::EngineError, kserve::Served, queue::Seat, remote::RemoteOptions};

/// What the names of the operators that quantize as they run begin with.
const SCALED_ANEW: &[u8] = b"DynamicQuantize";
/// Numbers with a fraction, as graphs have them.
pub(crate) const FRACTIONS: &[TensorElementType] = &[TensorElementType::Float32, TensorElementType::Float16];
/// Whole numbers.
pub(crate) const WHOLE: &[TensorElementType] = &[TensorElementType::Int64, TensorElementType::Int32];

/// An input or an output, as the graph declares it.
#[derive(Clone, Debug)]
pub(crate) struct Outlet {
    pub(crate) name: String,
    /// Element type and shape (−1: free); none of what is no tensor.
    pub(crate) tensor: Option<(TensorElementType, Vec<i64>)>,
}

impl Outlet {
    fn of(outlet: &ort::value::Outlet) -> Self {
        let tensor = match outlet.dtype() {
            ValueType::Tensor { ty, shape, .. } => Some((*ty, shape.to_vec())),
            _ => None,
        };
        Self { name: outlet.name().to_owned(), tensor }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The shape of a tensor.
    pub(crate) fn shape(&self) -> Option<&[i64]> {
        self.tensor.as_ref().map(|(_, shape)| &shape[..])
    }
}

/// One opened graph.
pub(crate) struct Graph {
    place: Place,
    inputs: Vec<Outlet>,
    outputs: Vec<Outlet>,
    name: String,
}

/// Who runs it.
enum Place {
    /// Each run is a turn on its device, where it has a seat there.
    Here(Session, PathBuf, Option<Seat>),
    There(Served),
}

impl Graph {
    pub(super) fn here(session: Session, file: &Path, seat: Option<Seat>) -> Self {
        let (inputs, outputs) = (session.inputs(), session.outputs());
        Self {
            inputs: inputs.iter().map(Outlet::of).collect(),
            outputs: outputs.iter().map(Outlet::of).collect(),
            name: file.display().to_string(),
            place: Place::Here(session, file.to_owned(), seat),
        }
    }

    /// A model on an inference server, which is asked what it takes and gives.
    ///
    /// # Errors
    /// [`EngineError::Load`]: the server has no such model, or will not have whoever asks. [`EngineError::Remote`]: it is not there now.
    pub(crate) fn there(engine: &'static str, server: &RemoteOptions) -> Result<Self, EngineError> {
        let (served, inputs, outputs) = Served::open(engine, server)?;
        Ok(Self { inputs, outputs, name: served.name(), place: Place::There(served) })
    }

    /// Where it comes from, for messages: its file, or its name on which server.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn inputs(&self) -> &[Outlet] {
        &self.inputs
    }

    pub(crate) fn outputs(&self) -> &[Outlet] {
        &self.outputs
    }

    /// What a tool wrote into its file beside it; a server does not pass it on.
    pub(crate) fn note(&self, key: &str) -> Option<String> {
        match &self.place {
            Place::Here(session, ..) => session.metadata().ok()?.custom(key),
            Place::There(_) => None,
        }
    }

    /// Whether a server runs it.
    pub(crate) fn is_there(&self) -> bool {
        matches!(self.place, Place::There(_))
    }

    /// Runs it. A server is asked for the `wanted` outputs (none named: all); here all are made anyway.
    ///
    /// # Errors
    /// [`EngineError::Failed`]: the run failed here. [`EngineError::Remote`]: the server did not do it.
    pub(crate) fn run<'i, 'v: 'i, K>(
        &mut self,
        engine: &'static str,
        feed: Vec<(K, SessionInputValue<'v>)>,
        wanted: &[&str],
    ) -> Result<Outputs, EngineError>
    where
        K: AsRef<str> + Into<Cow<'i, str>>,
    {
        let values = match &mut self.place {
            Place::Here(session, _, seat) => {
                let run = || -> ort::Result<_> {
                    let turn = seat.as_ref().map(Seat::turn);
                    let mut outputs = session.run(feed)?;
                    drop(turn);
                    let names: Vec<String> = outputs.keys().map(str::to_owned).collect();
                    let value = |name: String| outputs.remove(&name).map(|value| (name, value));
                    Ok(names.into_iter().filter_map(value).collect())
                };
                run().map_err(|error| failed(engine, &error))?
            }
            Place::There(served) => {
                let feed: Vec<(&str, &DynValue)> = feed.iter().map(|(name, value)| (name.as_ref(), &**value)).collect();
                let is_wanted = |output: &&Outlet| wanted.is_empty() || wanted.contains(&output.name());
                served.run(&feed, &self.outputs.iter().filter(is_wanted).collect::<Vec<_>>())?
            }
        };
        Ok(Outputs { engine, values })
    }

    /// Whether what a row of a run comes to depends on the rows beside it: a graph that chooses the scale of its int8 as it runs
    /// (dynamic quantization) has one for all rows. Of one on a server nobody here can tell: that one takes rows of others beside
    /// ours as it likes, and whoever serves it has chosen so.
    pub(crate) fn mixes_rows(&self) -> Result<bool, EngineError> {
        let Place::Here(_, path, _) = &self.place else { return Ok(false) };
        let cannot = |error: io::Error| EngineError::Load(format!("{} cannot be read: {error}", path.display()));
        let mut file = File::open(path).map_err(cannot)?;
        // The names of operators stand in the file as they are; a piece begins with the end of the one before.
        let (mut piece, mut kept) = (vec![0; 1 << 20], 0);
        loop {
            let read = file.read(&mut piece[kept..]).map_err(cannot)?;
            let there = kept + read;
            if piece[..there].windows(SCALED_ANEW.len()).any(|name| name == SCALED_ANEW) {
                return Ok(true);
            }
            if read == 0 {
                return Ok(false);
            }
            kept = there.min(SCALED_ANEW.len() - 1);
            piece.copy_within(there - kept..there, 0);
        }
    }

    /// The element type and the shape (−1: free) of an input; `None` when the graph has no tensor of this name.
    pub(crate) fn input(&self, name: &str) -> Option<(TensorElementType, &[i64])> {
        let outlet = self.inputs.iter().find(|outlet| outlet.name() == name)?;
        outlet.tensor.as_ref().map(|(kind, shape)| (*kind, &shape[..]))
    }

    /// As [`Graph::input`], but a missing input is an error that names the file and the inputs it has.
    pub(crate) fn required_input(
        &self,
        name: &str,
        expected: &str,
    ) -> Result<(TensorElementType, &[i64]), EngineError> {
        self.input(name).ok_or_else(|| self.wrong(&format!("has no input `{name}`"), expected))
    }

    /// The same, and it takes numbers of one of these kinds.
    pub(crate) fn required_kind(
        &self,
        name: &str,
        kinds: &[TensorElementType],
        expected: &str,
    ) -> Result<(TensorElementType, &[i64]), EngineError> {
        let (found, shape) = self.required_input(name, expected)?;
        if kinds.contains(&found) {
            return Ok((found, shape));
        }
        Err(self.wrong(&format!("wants `{name}` as {found} and not as {}", alternatives(kinds)), expected))
    }

    /// Makes sure that the graph has this output, and gives numbers with a fraction there.
    pub(crate) fn required_output(&self, name: &str, expected: &str) -> Result<(), EngineError> {
        let there = self.outputs.iter().find(|outlet| outlet.name() == name);
        let there = there.ok_or_else(|| self.wrong(&format!("has no output `{name}`"), expected))?;
        match &there.tensor {
            Some((kind, _)) if FRACTIONS.contains(kind) => Ok(()),
            found => {
                let found = found.as_ref().map_or_else(|| "no tensor".into(), |(kind, _)| kind.to_string());
                let fault = format!("gives `{name}` as {found} and not as {}", alternatives(FRACTIONS));
                Err(self.wrong(&fault, expected))
            }
        }
    }

    /// The sentence for a graph that is not what `expected` says it should be.
    pub(crate) fn wrong(&self, fault: &str, expected: &str) -> EngineError {
        let names = |outlets: &[Outlet]| {
            let mut names: Vec<_> = outlets.iter().take(6).map(|outlet| outlet.name().to_owned()).collect();
            if outlets.len() > names.len() {
                names.push("…".into());
            }
            names.join(", ")
        };
        EngineError::Load(format!(
            "{} {fault} (its inputs: {}; its outputs: {}): it is no {expected}",
            self.name,
            names(&self.inputs),
            names(&self.outputs),
        ))
    }
}

/// What a run gave.
pub(crate) struct Outputs {
    engine: &'static str,
    values: Vec<(String, DynValue)>,
}

impl Outputs {
    /// Takes the tensor of this name out.
    ///
    /// # Errors
    /// [`EngineError::Failed`]: there is none.
    pub(crate) fn take(&mut self, name: &str) -> Result<DynValue, EngineError> {
        let at = self.values.iter().position(|(own, _)| own == name);
        let reason = || format!("the graph gave no `{name}`");
        at.map(|at| self.values.swap_remove(at).1)
            .ok_or_else(|| EngineError::Failed { engine: self.engine, reason: reason() })
    }

    /// What is left.
    pub(crate) fn rest(self) -> impl Iterator<Item = (String, DynValue)> {
        self.values.into_iter()
    }
}

/// A fault of the library's, as an engine tells it.
pub(crate) fn failed(engine: &'static str, error: &ort::Error) -> EngineError {
    EngineError::Failed { engine, reason: error.to_string() }
}

fn alternatives(kinds: &[TensorElementType]) -> String {
    kinds.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
}
