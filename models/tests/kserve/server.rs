//! An inference server as Milo meets it, on loopback: KServe's protocol, version 2, by HTTP/1.1, with Triton's extension for tensors as bytes
//! or without it. It runs graphs by ONNX Runtime, and does all that can be wrong with such a server.

#![allow(dead_code, unreachable_pub, reason = "all of it is for the tests beside it, and each takes what it needs")]

use std::{
    collections::BTreeMap,
    io::{self, BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use milo_models::onnx::OrtRuntime;
use ort::{
    session::{Session, SessionInputValue},
    value::{DynValue, Tensor, TensorElementType, ValueType},
};
use serde_json::{Value, json};

const HEAD: &str = "inference-header-content-length";

/// What it does when it is asked to run a graph.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Conduct {
    /// What it is asked for.
    Right,
    /// Answers with this status and these words.
    Refuses(u16, &'static str),
    /// Answers with this body.
    Says(&'static str),
    /// The first half of the answer, and nothing more.
    Half,
    /// The answer, one byte a second.
    Drips,
    /// One number less in each row.
    Narrow,
    /// The right shape, and half of its numbers.
    Short,
    /// Numbers that are none.
    NoNumbers,
    /// Never answers.
    Hangs,
}

/// What it was asked to run.
#[derive(Clone, Debug)]
pub struct Asked {
    pub path: String,
    pub head: Value,
    /// Tensors came as bytes.
    pub in_bytes: bool,
    pub key: Option<String>,
}

/// A running one. It ends with its test.
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    listening: Option<JoinHandle<()>>,
}

struct Shared {
    graphs: BTreeMap<String, Mutex<Session>>,
    in_bytes: bool,
    is_up: AtomicBool,
    is_ready: AtomicBool,
    conduct: Mutex<Conduct>,
    /// What it says of a model in place of the truth.
    described: Mutex<Option<Value>>,
    asked: Mutex<Vec<Asked>>,
    connections: Mutex<Vec<TcpStream>>,
}

impl Server {
    /// One with these graphs, by name; tensors go as bytes or as JSON.
    pub fn start(graphs: &[(&str, &Path)], in_bytes: bool) -> Self {
        let ort = OrtRuntime::load(None).expect("`make setup` fetches it");
        let open = |file: &Path| {
            Session::builder(ort.environment()).expect("a session").commit_from_file(file).expect("a graph")
        };
        let graphs = graphs.iter().map(|(name, file)| ((*name).to_owned(), Mutex::new(open(file)))).collect();
        let shared = Shared {
            graphs,
            in_bytes,
            is_up: AtomicBool::new(false),
            is_ready: AtomicBool::new(true),
            conduct: Mutex::new(Conduct::Right),
            described: Mutex::default(),
            asked: Mutex::default(),
            connections: Mutex::default(),
        };
        let mut server = Self { address: ([127, 0, 0, 1], 0).into(), shared: Arc::new(shared), listening: None };
        server.come();
        server
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From the next run on it does this.
    pub fn now(&self, conduct: Conduct) {
        *self.shared.conduct.lock().expect("no panic") = conduct;
    }

    /// Says this of whatever model it is asked about; nothing: the truth.
    pub fn describes(&self, described: Option<Value>) {
        *self.shared.described.lock().expect("no panic") = described;
    }

    /// Whether it says that it is ready.
    pub fn is_ready(&self, is_ready: bool) {
        self.shared.is_ready.store(is_ready, Ordering::SeqCst);
    }

    /// The runs that it was asked for so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().expect("no panic").clone()
    }

    /// It dies: nobody listens any more, and what was open is cut.
    pub fn go(&mut self) {
        self.shared.is_up.store(false, Ordering::SeqCst);
        TcpStream::connect(self.address).ok();
        self.listening.take().map(JoinHandle::join);
        for connection in self.shared.connections.lock().expect("no panic").drain(..) {
            connection.shutdown(Shutdown::Both).ok();
        }
    }

    /// It is there, at the same address as before.
    pub fn come(&mut self) {
        let listener = TcpListener::bind(self.address).expect("its port");
        self.address = listener.local_addr().expect("an address");
        self.shared.is_up.store(true, Ordering::SeqCst);
        let shared = Arc::clone(&self.shared);
        self.listening = Some(thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                if !shared.is_up.load(Ordering::SeqCst) {
                    return;
                }
                let kept = connection.try_clone().expect("a handle");
                shared.connections.lock().expect("no panic").push(kept);
                let shared = Arc::clone(&shared);
                thread::spawn(move || serve(&shared, connection).ok());
            }
        }));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.go();
    }
}

/// What goes back.
struct Answer {
    status: u16,
    /// How much of the body is JSON, where bytes follow.
    head: Option<usize>,
    body: Vec<u8>,
}

impl Answer {
    fn json(status: u16, body: &Value) -> Self {
        Self { status, head: None, body: body.to_string().into_bytes() }
    }

    fn wrong(status: u16, says: &str) -> Self {
        Self::json(status, &json!({ "error": says }))
    }
}

fn serve(shared: &Shared, connection: TcpStream) -> io::Result<()> {
    let mut out = connection.try_clone()?;
    let mut connection = BufReader::new(connection);
    loop {
        let mut first = String::new();
        if connection.read_line(&mut first)? == 0 {
            return Ok(());
        }
        let mut parts = first.split_whitespace();
        let (method, path) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            connection.read_line(&mut line)?;
            let Some((name, value)) = line.trim().split_once(':') else { break };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        connection.read_exact(&mut body)?;
        let conduct = *shared.conduct.lock().expect("no panic");
        let runs = path.ends_with("/infer");
        let answer = match (method, path.trim_start_matches('/').split('/').collect::<Vec<_>>().as_slice()) {
            ("GET", ["v2"]) => {
                let extensions = if shared.in_bytes { vec!["binary_tensor_data", "statistics"] } else { Vec::new() };
                Answer::json(200, &json!({ "name": "tiny", "version": "1", "extensions": extensions }))
            }
            ("GET", ["v2", "health", "ready"]) => {
                let status = if shared.is_ready.load(Ordering::SeqCst) { 200 } else { 400 };
                Answer { status, head: None, body: Vec::new() }
            }
            ("GET", ["v2", "models", name, .., "ready"]) if shared.graphs.contains_key(*name) => {
                Answer { status: 200, head: None, body: Vec::new() }
            }
            ("GET", ["v2", "models", name] | ["v2", "models", name, "versions", "1"]) => match shared.graphs.get(*name)
            {
                Some(graph) => {
                    let described = shared.described.lock().expect("no panic").clone();
                    Answer::json(200, &described.unwrap_or_else(|| describe(name, &graph.lock().expect("no panic"))))
                }
                None => Answer::wrong(404, &format!("Request for unknown model: '{name}' is not found")),
            },
            ("POST", ["v2", "models", name, .., "infer"]) => {
                run(shared, path, name, (&headers, &body), conduct).unwrap_or_else(|says| Answer::wrong(400, &says))
            }
            _ => Answer::wrong(404, "no such path"),
        };
        send(&mut out, answer, if runs { conduct } else { Conduct::Right })?;
    }
}

fn send(out: &mut TcpStream, answer: Answer, conduct: Conduct) -> io::Result<()> {
    let Answer { status, head, body } = match conduct {
        Conduct::Refuses(status, says) => Answer::wrong(status, says),
        Conduct::Says(body) => Answer { status: 200, head: None, body: body.as_bytes().to_vec() },
        Conduct::Hangs => loop {
            thread::park();
        },
        _ => answer,
    };
    let head = head.map(|head| format!("{HEAD}: {head}\r\n")).unwrap_or_default();
    write!(out, "HTTP/1.1 {status} X\r\ncontent-length: {}\r\n{head}\r\n", body.len())?;
    match conduct {
        Conduct::Half => {
            out.write_all(&body[..body.len() / 2])?;
            out.flush()?;
            out.shutdown(Shutdown::Both)
        }
        Conduct::Drips => {
            for byte in body {
                out.write_all(&[byte])?;
                out.flush()?;
                thread::sleep(Duration::from_secs(1));
            }
            Ok(())
        }
        _ => {
            out.write_all(&body)?;
            out.flush()
        }
    }
}

/// What a graph takes and gives, in the protocol's words.
fn describe(name: &str, graph: &Session) -> Value {
    let outlets = |outlets: &[ort::value::Outlet]| -> Vec<Value> {
        let outlet = |outlet: &ort::value::Outlet| match outlet.dtype() {
            ValueType::Tensor { ty, shape, .. } => {
                json!({ "name": outlet.name(), "datatype": datatype(*ty), "shape": shape.to_vec() })
            }
            _ => panic!("only tensors are served"),
        };
        outlets.iter().map(outlet).collect()
    };
    json!({ "name": name, "versions": ["1"], "platform": "onnxruntime_onnx",
        "inputs": outlets(graph.inputs()), "outputs": outlets(graph.outputs()) })
}

fn datatype(kind: TensorElementType) -> &'static str {
    match kind {
        TensorElementType::Float32 => "FP32",
        TensorElementType::Int64 => "INT64",
        TensorElementType::Int32 => "INT32",
        other => panic!("{other} is not served here"),
    }
}

/// Runs a graph; or why the request is refused.
fn run(
    shared: &Shared,
    path: &str,
    name: &str,
    (headers, body): (&BTreeMap<String, String>, &[u8]),
    conduct: Conduct,
) -> Result<Answer, String> {
    let length = headers.get(HEAD).map(|length| length.parse::<usize>().expect("a number"));
    let (head, mut behind) = body.split_at(length.unwrap_or(body.len()));
    let head: Value = serde_json::from_slice(head).map_err(|error| error.to_string())?;
    let asked = Asked {
        path: path.to_owned(),
        head: head.clone(),
        in_bytes: length.is_some(),
        key: headers.get("authorization").cloned(),
    };
    shared.asked.lock().expect("no panic").push(asked);
    let graph = shared.graphs.get(name).ok_or("unknown model")?;
    let mut feed: Vec<(String, SessionInputValue<'static>)> = Vec::new();
    for input in head["inputs"].as_array().ok_or("no inputs")? {
        let size = input["parameters"]["binary_data_size"].as_u64().map(|size| size as usize);
        let bytes = size.map(|size| {
            let (own, rest) = behind.split_at(size);
            behind = rest;
            own
        });
        feed.push((input["name"].as_str().ok_or("no name")?.to_owned(), tensor(input, bytes)?.into()));
    }
    if !behind.is_empty() {
        return Err(format!("{} bytes are left over", behind.len()));
    }
    let mut graph = graph.lock().expect("no panic");
    let mut outputs = graph.run(feed).map_err(|error| error.to_string())?;
    let (mut given, mut bytes) = (Vec::new(), Vec::new());
    for wanted in head["outputs"].as_array().ok_or("no outputs")? {
        let name = wanted["name"].as_str().ok_or("no name")?;
        let value = outputs.remove(name).ok_or_else(|| format!("no output {name}"))?;
        let (shape, numbers) = value.try_extract_tensor::<f32>().map_err(|error| error.to_string())?;
        let (shape, numbers) = spoilt(shape.to_vec(), numbers.to_vec(), conduct);
        let mut one = json!({ "name": name, "datatype": "FP32", "shape": shape });
        if wanted["parameters"]["binary_data"] == true {
            one["parameters"] = json!({ "binary_data_size": 4 * numbers.len() });
            bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        } else {
            one["data"] = json!(numbers);
        }
        given.push(one);
    }
    let mut body = json!({ "model_name": name, "model_version": "1", "outputs": given }).to_string().into_bytes();
    let head = length.map(|_| body.len());
    body.extend(bytes);
    Ok(Answer { status: 200, head, body })
}

fn spoilt(mut shape: Vec<i64>, mut numbers: Vec<f32>, conduct: Conduct) -> (Vec<i64>, Vec<f32>) {
    match conduct {
        Conduct::Narrow => {
            let last = shape.last_mut().expect("a dimension");
            let rows = numbers.len() / *last as usize;
            *last += 1;
            numbers.resize(rows * *last as usize, 0.0);
        }
        Conduct::Short => numbers.truncate(numbers.len() / 2),
        Conduct::NoNumbers => numbers.fill(f32::NAN),
        _ => {}
    }
    (shape, numbers)
}

fn tensor(input: &Value, bytes: Option<&[u8]>) -> Result<DynValue, String> {
    let shape: Vec<i64> = input["shape"].as_array().ok_or("no shape")?.iter().filter_map(Value::as_i64).collect();
    let data = || input["data"].as_array().ok_or("no data");
    let made = match (input["datatype"].as_str().unwrap_or_default(), bytes) {
        ("FP32", Some(bytes)) => {
            let numbers = bytes.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().expect("four")));
            Tensor::from_array((shape, numbers.collect::<Vec<_>>())).map(Tensor::into_dyn)
        }
        ("FP32", None) => {
            let numbers = data()?.iter().filter_map(Value::as_f64).map(|number| number as f32);
            Tensor::from_array((shape, numbers.collect::<Vec<_>>())).map(Tensor::into_dyn)
        }
        ("INT64", Some(bytes)) => {
            let numbers = bytes.chunks_exact(8).map(|eight| i64::from_le_bytes(eight.try_into().expect("eight")));
            Tensor::from_array((shape, numbers.collect::<Vec<_>>())).map(Tensor::into_dyn)
        }
        ("INT64", None) => {
            let numbers = data()?.iter().filter_map(Value::as_i64);
            Tensor::from_array((shape, numbers.collect::<Vec<_>>())).map(Tensor::into_dyn)
        }
        (other, _) => return Err(format!("{other} is not taken")),
    };
    made.map_err(|error| error.to_string())
}
