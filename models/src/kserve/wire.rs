//! Tensors as KServe's protocol writes them: as JSON, or as bytes behind the JSON that describes them (the extension for binary tensors,
//! `binary_tensor_data`), little endian, row by row.

use std::fmt;

use half::f16;
use ort::value::{DynValue, PrimitiveTensorElementType, Tensor, TensorElementType};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeSeed, SeqAccess, Visitor},
};

use crate::onnx::Outlet;

/// The header that says how long the JSON is, where bytes follow it.
pub(super) const HEAD: &str = "inference-header-content-length";
/// What a server calls it that it takes and gives bytes.
const BYTES: &str = "binary_tensor_data";
/// Numbers in lists in lists: no tensor has more dimensions.
const DEEPEST: usize = 16;

/// What the protocol calls the types of numbers. (`BYTES` are texts.)
const TYPES: [(&str, TensorElementType); 14] = [
    ("FP32", TensorElementType::Float32),
    ("FP16", TensorElementType::Float16),
    ("INT64", TensorElementType::Int64),
    ("INT32", TensorElementType::Int32),
    ("BOOL", TensorElementType::Bool),
    ("FP64", TensorElementType::Float64),
    ("BF16", TensorElementType::Bfloat16),
    ("INT16", TensorElementType::Int16),
    ("INT8", TensorElementType::Int8),
    ("UINT64", TensorElementType::Uint64),
    ("UINT32", TensorElementType::Uint32),
    ("UINT16", TensorElementType::Uint16),
    ("UINT8", TensorElementType::Uint8),
    ("BYTES", TensorElementType::String),
];

/// What a server says of itself.
#[derive(Deserialize)]
pub(super) struct About {
    #[serde(default)]
    extensions: Vec<String>,
}

impl About {
    /// Whether it takes and gives tensors as bytes.
    pub(super) fn has_bytes(&self) -> bool {
        self.extensions.iter().any(|extension| extension == BYTES)
    }
}

/// What it says of a model.
#[derive(Deserialize)]
pub(super) struct Metadata {
    inputs: Vec<Declared>,
    outputs: Vec<Declared>,
}

#[derive(Deserialize)]
struct Declared {
    name: String,
    datatype: String,
    /// −1 is free.
    shape: Vec<i64>,
}

impl Metadata {
    /// The same as a graph's own.
    pub(super) fn outlets(self) -> (Vec<Outlet>, Vec<Outlet>) {
        let outlet =
            |Declared { name, datatype, shape }| Outlet { name, tensor: kind(&datatype).map(|kind| (kind, shape)) };
        let outlets = |all: Vec<Declared>| all.into_iter().map(outlet).collect();
        (outlets(self.inputs), outlets(self.outputs))
    }
}

fn kind(datatype: &str) -> Option<TensorElementType> {
    TYPES.iter().find(|(name, _)| *name == datatype).map(|(_, kind)| *kind)
}

fn datatype(kind: TensorElementType) -> Option<&'static str> {
    TYPES.iter().find(|(_, own)| *own == kind).map(|(name, _)| *name)
}

/// An input or output that JSON cannot carry.
pub(super) fn needs_bytes<'a>(inputs: &'a [Outlet], outputs: &'a [Outlet]) -> Option<&'a str> {
    let is_half = |outlet: &&Outlet| matches!(outlet.tensor, Some((TensorElementType::Float16, _)));
    inputs.iter().chain(outputs).find(is_half).map(Outlet::name)
}

#[derive(Serialize)]
struct Request<'a> {
    inputs: Vec<Input<'a>>,
    outputs: Vec<Output<'a>>,
}

#[derive(Serialize)]
struct Input<'a> {
    name: &'a str,
    shape: &'a [i64],
    datatype: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<Size>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Data<'a>>,
}

#[derive(Serialize)]
struct Size {
    binary_data_size: usize,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Data<'a> {
    Fractions(&'a [f32]),
    Longs(&'a [i64]),
    Integers(&'a [i32]),
    Flags(&'a [bool]),
}

#[derive(Serialize)]
struct Output<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<Form>,
}

#[derive(Serialize)]
struct Form {
    binary_data: bool,
}

/// What a request carries.
pub(super) struct Body {
    pub(super) bytes: Vec<u8>,
    /// How much of it is JSON; none: all.
    pub(super) head: Option<usize>,
}

/// A request for these outputs of these inputs.
///
/// # Errors
/// Why it cannot be written: an input is of numbers that no graph here takes.
pub(super) fn request(feed: &[(&str, &DynValue)], wanted: &[&Outlet], in_bytes: bool) -> Result<Body, String> {
    let (mut inputs, mut behind) = (Vec::new(), Vec::new());
    for (name, value) in feed {
        let none = || format!("`{name}` is nothing that a request carries");
        let kind = value.dtype().tensor_type().ok_or_else(none)?;
        let before = behind.len();
        let data =
            if in_bytes { lay(kind, value, &mut behind)?.then_some(None) } else { listed(kind, value)?.map(Some) };
        let (data, datatype) = data.zip(datatype(kind)).ok_or_else(none)?;
        let parameters = data.is_none().then(|| Size { binary_data_size: behind.len() - before });
        inputs.push(Input { name, shape: value.shape(), datatype, parameters, data });
    }
    let form = || in_bytes.then_some(Form { binary_data: true });
    let outputs = wanted.iter().map(|outlet| Output { name: outlet.name(), parameters: form() }).collect();
    let mut bytes = serde_json::to_vec(&Request { inputs, outputs }).map_err(|error| error.to_string())?;
    let head = in_bytes.then_some(bytes.len());
    bytes.append(&mut behind);
    Ok(Body { bytes, head })
}

/// A tensor's numbers for the JSON; none, where that does not carry them.
fn listed(kind: TensorElementType, value: &DynValue) -> Result<Option<Data<'_>>, String> {
    Ok(Some(match kind {
        TensorElementType::Float32 => Data::Fractions(numbers(value)?),
        TensorElementType::Int64 => Data::Longs(numbers(value)?),
        TensorElementType::Int32 => Data::Integers(numbers(value)?),
        TensorElementType::Bool => Data::Flags(numbers(value)?),
        _ => return Ok(None),
    }))
}

/// Lays a tensor's numbers behind the others; whether there is a way to.
fn lay(kind: TensorElementType, value: &DynValue, behind: &mut Vec<u8>) -> Result<bool, String> {
    match kind {
        TensorElementType::Float32 => each(numbers(value)?, behind, f32::to_le_bytes),
        TensorElementType::Float16 => each(numbers(value)?, behind, f16::to_le_bytes),
        TensorElementType::Int64 => each(numbers(value)?, behind, i64::to_le_bytes),
        TensorElementType::Int32 => each(numbers(value)?, behind, i32::to_le_bytes),
        TensorElementType::Bool => each(numbers(value)?, behind, |flag: bool| [u8::from(flag)]),
        _ => return Ok(false),
    }
    Ok(true)
}

fn each<T: Copy, const N: usize>(numbers: &[T], behind: &mut Vec<u8>, as_bytes: fn(T) -> [u8; N]) {
    behind.reserve(numbers.len() * N);
    numbers.iter().for_each(|number| behind.extend_from_slice(&as_bytes(*number)));
}

fn numbers<T: PrimitiveTensorElementType>(value: &DynValue) -> Result<&[T], String> {
    value.try_extract_tensor::<T>().map(|(_, numbers)| numbers).map_err(|error| error.to_string())
}

#[derive(Deserialize)]
struct Answer {
    outputs: Vec<Given>,
}

#[derive(Deserialize)]
struct Given {
    name: String,
    datatype: String,
    shape: Vec<i64>,
    #[serde(default)]
    parameters: Option<GivenSize>,
    #[serde(default)]
    data: Option<Numbers>,
}

#[derive(Default, Deserialize)]
struct GivenSize {
    binary_data_size: Option<usize>,
}

/// Reads the outputs that were wanted; `head` is how much of the body is JSON, all where it is none.
///
/// # Errors
/// How a sentence about the server goes on.
pub(super) fn answer(body: &[u8], head: Option<usize>, wanted: &[&Outlet]) -> Result<Vec<(String, DynValue)>, String> {
    let (json, mut behind) =
        body.split_at_checked(head.unwrap_or(body.len())).ok_or("ended before the end of its answer")?;
    let answer: Answer = serde_json::from_slice(json)
        .map_err(|error| format!("answers with what is none of KServe's protocol: {error}"))?;
    let mut values = Vec::new();
    for given in answer.outputs {
        // Whatever else it sends takes its place among the bytes.
        let size = given.parameters.as_ref().and_then(|parameters| parameters.binary_data_size);
        let bytes = match size {
            None => None,
            Some(size) => {
                let (own, rest) = behind.split_at_checked(size).ok_or("ended before the end of its answer")?;
                behind = rest;
                Some(own)
            }
        };
        if let Some(outlet) = wanted.iter().find(|outlet| outlet.name() == given.name) {
            values.push((outlet.name().to_owned(), tensor(outlet, given, bytes)?));
        }
    }
    match wanted.iter().find(|outlet| values.iter().all(|(name, _)| name != outlet.name())) {
        Some(missing) => Err(format!("gives no `{}`", missing.name())),
        None => Ok(values),
    }
}

/// One output, if it is what the model's description promised.
fn tensor(outlet: &Outlet, given: Given, bytes: Option<&[u8]>) -> Result<DynValue, String> {
    let Given { name, datatype, shape, data, .. } = given;
    let Some((kind, promised)) = &outlet.tensor else { return Err(format!("gives `{name}`, which is no tensor")) };
    let fits = shape.len() == promised.len()
        && shape.iter().zip(promised).all(|(size, promised)| *size >= 0 && (*promised < 0 || size == promised));
    if !fits {
        return Err(format!("gives `{name}` of the shape {shape:?}, where {promised:?} was promised"));
    }
    let count = shape.iter().try_fold(1_usize, |count, size| count.checked_mul(usize::try_from(*size).ok()?));
    let count = count.ok_or_else(|| format!("gives `{name}` of the shape {shape:?}, which nothing can hold"))?;
    let holds = |found: usize, size: usize| match count.checked_mul(size) {
        Some(whole) if whole == found => Ok(()),
        _ => Err(format!("gives {} numbers for `{name}` of the shape {shape:?}", found / size)),
    };
    let value = match (self::kind(&datatype), bytes, data) {
        (Some(TensorElementType::Float32), Some(bytes), _) if *kind == TensorElementType::Float32 => {
            holds(bytes.len(), 4)?;
            let numbers = bytes.chunks_exact(4).map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]]));
            Tensor::from_array((shape, numbers.collect::<Vec<_>>())).map(Tensor::into_dyn)
        }
        (Some(TensorElementType::Float16), Some(bytes), _) if *kind == TensorElementType::Float16 => {
            holds(bytes.len(), 2)?;
            let numbers = bytes.chunks_exact(2).map(|two| f16::from_le_bytes([two[0], two[1]]));
            Tensor::from_array((shape, numbers.collect::<Vec<_>>())).map(Tensor::into_dyn)
        }
        (Some(TensorElementType::Float32), None, Some(Numbers(numbers))) if *kind == TensorElementType::Float32 => {
            holds(numbers.len(), 1)?;
            Tensor::from_array((shape, numbers)).map(Tensor::into_dyn)
        }
        (_, None, None) => return Err(format!("gives no numbers for `{name}`")),
        _ => return Err(format!("gives `{name}` as {datatype:?}, where {kind} was promised")),
    };
    value.map_err(|error| error.to_string())
}

/// Numbers as JSON has them: one list, or a list for each dimension within the other.
struct Numbers(Vec<f32>);

impl<'de> Deserialize<'de> for Numbers {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let mut numbers = Vec::new();
        Nested { into: &mut numbers, left: DEEPEST }.deserialize(from)?;
        Ok(Self(numbers))
    }
}

struct Nested<'a> {
    into: &'a mut Vec<f32>,
    left: usize,
}

impl<'de> DeserializeSeed<'de> for Nested<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Nested<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("numbers, in lists")
    }

    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        self.into.push(number as f32);
        Ok(())
    }

    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        self.into.push(number as f32);
        Ok(())
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        self.into.push(number as f32);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let left = self.left.checked_sub(1).ok_or_else(|| serde::de::Error::custom("lists too deep in each other"))?;
        while list.next_element_seed(Nested { into: &mut *self.into, left })?.is_some() {}
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::{OrtRuntime, floats, integers, values};

    fn outlet(name: &str, kind: TensorElementType, shape: &[i64]) -> Outlet {
        Outlet { name: name.into(), tensor: Some((kind, shape.to_vec())) }
    }

    fn json(outputs: &str, wanted: &Outlet) -> Result<Vec<f32>, String> {
        let all = answer(format!("{{\"outputs\":[{outputs}]}}").as_bytes(), None, &[wanted])?;
        values(&all[0].1).map_err(|error| error.to_string())
    }

    #[test]
    fn a_request_is_json_or_json_and_bytes() {
        OrtRuntime::load(None).unwrap();
        let sound = floats(TensorElementType::Float32, &[1, 2], vec![0.5, -1.25]).unwrap();
        let half = floats(TensorElementType::Float16, &[1], vec![1.0]).unwrap();
        let ids = integers(TensorElementType::Int32, &[], vec![-2]).unwrap();
        let logits = outlet("logits", TensorElementType::Float32, &[-1]);
        let body = request(&[("x", &sound), ("ids", &ids)], &[&logits], false).unwrap();
        let said: serde_json::Value = serde_json::from_slice(&body.bytes).unwrap();
        let expected = serde_json::json!({
            "inputs": [
                { "name": "x", "shape": [1, 2], "datatype": "FP32", "data": [0.5, -1.25] },
                { "name": "ids", "shape": [], "datatype": "INT32", "data": [-2] },
            ],
            "outputs": [{ "name": "logits" }],
        });
        assert_eq!((said, body.head), (expected, None));
        assert!(request(&[("x", &half)], &[&logits], false).is_err_and(|says| says.contains("`x`")));

        let body = request(&[("x", &sound), ("h", &half), ("ids", &ids)], &[&logits], true).unwrap();
        let (head, bytes) = body.bytes.split_at(body.head.unwrap());
        let said: serde_json::Value = serde_json::from_slice(head).unwrap();
        let sizes: Vec<_> = (0..3).map(|n| said["inputs"][n]["parameters"]["binary_data_size"].as_u64()).collect();
        assert_eq!(sizes, [Some(8), Some(2), Some(4)]);
        assert_eq!(said["outputs"][0]["parameters"]["binary_data"], true);
        assert_eq!(bytes, [0, 0, 0, 0x3f, 0, 0, 0xa0, 0xbf, 0, 0x3c, 0xfe, 0xff, 0xff, 0xff]);
    }

    #[test]
    fn an_answer_is_read_from_lists_and_from_bytes() {
        OrtRuntime::load(None).unwrap();
        let wanted = outlet("y", TensorElementType::Float32, &[-1, 2]);
        let flat = r#"{"name":"y","datatype":"FP32","shape":[2,2],"data":[1,2.5,-3,4e0]}"#;
        let nested = r#"{"name":"y","datatype":"FP32","shape":[2,2],"data":[[1,2.5],[-3,4]],"parameters":{}}"#;
        for given in [flat, nested] {
            assert_eq!(json(given, &wanted), Ok(vec![1.0, 2.5, -3.0, 4.0]));
        }
        // Another output's bytes stand before those that are wanted.
        let head = br#"{"outputs":[{"name":"z","datatype":"INT8","shape":[1],"parameters":{"binary_data_size":1}},
            {"name":"y","datatype":"FP16","shape":[1,2],"parameters":{"binary_data_size":4}}]}"#;
        let body = [&head[..], &[7, 0, 0x3c, 0, 0xc0]].concat();
        let half = outlet("y", TensorElementType::Float16, &[-1, 2]);
        let read = answer(&body, Some(head.len()), &[&half]).unwrap();
        assert_eq!((read.len(), values(&read[0].1).unwrap()), (1, vec![1.0, -2.0]));
        for (length, given) in [(head.len(), &body[..body.len() - 1]), (body.len() + 1, &body[..])] {
            let says = answer(given, Some(length), &[&half]).unwrap_err();
            assert!(says.contains("ended before"), "{says}");
        }
    }

    #[test]
    fn an_answer_that_breaks_its_promise_is_told() {
        OrtRuntime::load(None).unwrap();
        let wanted = outlet("y", TensorElementType::Float32, &[-1, 2]);
        let deep =
            format!(r#"{{"name":"y","datatype":"FP32","shape":[1,2],"data":{}1{}}}"#, "[".repeat(40), "]".repeat(40));
        for (given, part) in [
            (r#"{"name":"x","datatype":"FP32","shape":[1,2],"data":[1,2]}"#, "gives no `y`"),
            (r#"{"name":"y","datatype":"FP32","shape":[1,3],"data":[1,2,3]}"#, "shape [1, 3], where [-1, 2]"),
            (r#"{"name":"y","datatype":"FP32","shape":[2],"data":[1,2]}"#, "shape [2]"),
            (r#"{"name":"y","datatype":"FP32","shape":[-1,2],"data":[1,2]}"#, "shape [-1, 2]"),
            (r#"{"name":"y","datatype":"FP32","shape":[9223372036854775807,2],"data":[1,2]}"#, "gives 2 numbers"),
            (r#"{"name":"y","datatype":"FP32","shape":[1,2],"data":[1]}"#, "gives 1 numbers"),
            (r#"{"name":"y","datatype":"FP32","shape":[1,2]}"#, "gives no numbers"),
            (r#"{"name":"y","datatype":"INT64","shape":[1,2],"data":[1,2]}"#, "as \"INT64\""),
            (r#"{"name":"y","datatype":"FP32","shape":[1,2],"data":["1",2]}"#, "none of KServe's protocol"),
            (deep.as_str(), "too deep"),
        ] {
            let says = json(given, &wanted).unwrap_err();
            assert!(says.contains(part), "{given}: {says}");
        }
    }
}
