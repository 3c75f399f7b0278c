//! Rows of tensors that are computed together: some of one tensor, or those of several.

use std::fmt::Debug;

use half::f16;
use ort::value::{DynValue, PrimitiveTensorElementType, Tensor, TensorElementType, ValueType};

/// These rows of a tensor, in this order.
pub(crate) fn some(value: &DynValue, rows: &[usize]) -> ort::Result<DynValue> {
    let picked: Vec<_> = rows.iter().map(|row| (value, *row)).collect();
    gather(&picked)
}

/// All rows of all, in this order; but for the number of rows they are of one shape.
pub(crate) fn together(values: &[&DynValue]) -> ort::Result<DynValue> {
    let rows = values.iter().flat_map(|value| (0..count(value)).map(|row| (*value, row)));
    gather(&rows.collect::<Vec<_>>())
}

/// A tensor with so many places along an axis, where it has fewer: zeros stand behind them.
pub(crate) fn widened(value: &DynValue, axis: usize, size: usize) -> ort::Result<DynValue> {
    match value.dtype() {
        ValueType::Tensor { ty: TensorElementType::Float16, .. } => filled_up::<f16>(value, axis, size),
        _ => filled_up::<f32>(value, axis, size),
    }
}

fn filled_up<T>(value: &DynValue, axis: usize, size: usize) -> ort::Result<DynValue>
where
    T: PrimitiveTensorElementType + Copy + Default + Debug + 'static,
{
    let (shape, values) = value.try_extract_tensor::<T>()?;
    let mut shape: Vec<i64> = shape.to_vec();
    let there = shape.get(axis).and_then(|there| usize::try_from(*there).ok()).unwrap_or(0);
    if there == 0 || there > size {
        return Err(ort::Error::new(format!("a tensor of the shape {shape:?} cannot have {size} places")));
    }
    let inner: usize = shape[axis + 1..].iter().map(|size| usize::try_from(*size).unwrap_or(0)).product();
    let rest = vec![T::default(); (size - there) * inner];
    let wide = values.chunks_exact((there * inner).max(1)).flat_map(|part| part.iter().chain(&rest).copied());
    let wide: Vec<T> = wide.collect();
    shape[axis] = size as i64;
    Ok(Tensor::from_array((shape, wide))?.into_dyn())
}

fn count(value: &DynValue) -> usize {
    value.shape().first().and_then(|rows| usize::try_from(*rows).ok()).unwrap_or(0)
}

fn gather(rows: &[(&DynValue, usize)]) -> ort::Result<DynValue> {
    match rows.first().map(|(value, _)| value.dtype()) {
        Some(ValueType::Tensor { ty: TensorElementType::Float16, .. }) => gathered::<f16>(rows),
        Some(_) => gathered::<f32>(rows),
        None => Err(ort::Error::new("no row is left")),
    }
}

fn gathered<T>(rows: &[(&DynValue, usize)]) -> ort::Result<DynValue>
where
    T: PrimitiveTensorElementType + Copy + Debug + 'static,
{
    let mut shape: Vec<i64> = rows[0].0.shape().to_vec();
    let mut all: Vec<T> = Vec::new();
    for (value, row) in rows {
        let (own, values) = value.try_extract_tensor::<T>()?;
        if own[1..] != shape[1..] {
            return Err(ort::Error::new("rows of different shapes"));
        }
        let length = values.len() / count(value).max(1);
        let row = values.get(row * length..(row + 1) * length).ok_or_else(|| ort::Error::new("no such row"))?;
        all.extend_from_slice(row);
    }
    shape[0] = rows.len() as i64;
    Ok(Tensor::from_array((shape, all))?.into_dyn())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::{OrtRuntime, floats, values};

    #[test]
    fn rows_are_picked_and_put_together() {
        OrtRuntime::load(None).unwrap();
        for kind in [TensorElementType::Float32, TensorElementType::Float16] {
            let tensor = |rows: usize, from: u8| {
                let numbers = (0..rows * 2).map(|n| f32::from(from) + n as f32).collect();
                floats(kind, &[rows, 1, 2], numbers).unwrap()
            };
            let picked = some(&tensor(3, 0), &[2, 0]).unwrap();
            assert_eq!((picked.shape().to_vec(), values(&picked).unwrap()), (vec![2, 1, 2], vec![4.0, 5.0, 0.0, 1.0]));
            let both = together(&[&tensor(1, 10), &tensor(2, 20)]).unwrap();
            assert_eq!(values(&both).unwrap(), [10.0, 11.0, 20.0, 21.0, 22.0, 23.0]);
            assert!(some(&tensor(1, 0), &[1]).is_err() && some(&tensor(1, 0), &[]).is_err());
            let other = floats(kind, &[1, 2, 2], vec![0.0; 4]).unwrap();
            assert!(together(&[&tensor(1, 0), &other]).is_err());
            let wide = widened(&tensor(2, 1), 1, 2).unwrap();
            assert_eq!(wide.shape().to_vec(), [2, 2, 2]);
            assert_eq!(values(&wide).unwrap(), [1.0, 2.0, 0.0, 0.0, 3.0, 4.0, 0.0, 0.0]);
            assert!(widened(&wide, 1, 1).is_err(), "nothing is cut off");
        }
    }
}
