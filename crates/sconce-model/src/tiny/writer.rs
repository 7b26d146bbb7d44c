//! Writes whole GGUF files: keys and values, then tensors of any type that can be computed with.

use candle_core::quantized::gguf_file::Value;

use crate::gguf::TensorType;

const VERSION: u32 = 3;
const ALIGNMENT: usize = 32;

/// A tensor to be written.
#[derive(Debug, Clone)]
pub struct TinyTensor {
    /// Its name.
    pub name: String,
    /// Its dimensions, outermost first.
    pub shape: Vec<usize>,
    /// How its elements are stored.
    pub kind: TensorType,
    /// Its elements, so stored.
    pub bytes: Vec<u8>,
}

/// A GGUF file of these keys and tensors, in this order.
#[must_use]
pub fn gguf_bytes(metadata: &[(String, Value)], tensors: &[TinyTensor]) -> Vec<u8> {
    let mut file = Vec::from(*b"GGUF");
    file.extend(VERSION.to_le_bytes());
    put_length(&mut file, tensors.len());
    put_length(&mut file, metadata.len());
    for (key, value) in metadata {
        put_text(&mut file, key);
        file.extend(type_number(value).to_le_bytes());
        put_value(&mut file, value);
    }
    let mut offset = 0;
    for tensor in tensors {
        put_text(&mut file, &tensor.name);
        file.extend((tensor.shape.len() as u32).to_le_bytes());
        for &dimension in tensor.shape.iter().rev() {
            put_length(&mut file, dimension);
        }
        file.extend(tensor.kind.number().to_le_bytes());
        put_length(&mut file, offset);
        offset += tensor.bytes.len().next_multiple_of(ALIGNMENT);
    }
    for tensor in tensors {
        file.resize(file.len().next_multiple_of(ALIGNMENT), 0);
        file.extend(&tensor.bytes);
    }
    file
}

fn put_length(file: &mut Vec<u8>, length: usize) {
    file.extend((length as u64).to_le_bytes());
}

fn put_text(file: &mut Vec<u8>, text: &str) {
    put_length(file, text.len());
    file.extend(text.as_bytes());
}

fn type_number(value: &Value) -> u32 {
    match value {
        Value::U8(_) => 0,
        Value::I8(_) => 1,
        Value::U16(_) => 2,
        Value::I16(_) => 3,
        Value::U32(_) => 4,
        Value::I32(_) => 5,
        Value::F32(_) => 6,
        Value::Bool(_) => 7,
        Value::String(_) => 8,
        Value::Array(_) => 9,
        Value::U64(_) => 10,
        Value::I64(_) => 11,
        Value::F64(_) => 12,
    }
}

fn put_value(file: &mut Vec<u8>, value: &Value) {
    match value {
        Value::U8(number) => file.extend(number.to_le_bytes()),
        Value::I8(number) => file.extend(number.to_le_bytes()),
        Value::U16(number) => file.extend(number.to_le_bytes()),
        Value::I16(number) => file.extend(number.to_le_bytes()),
        Value::U32(number) => file.extend(number.to_le_bytes()),
        Value::I32(number) => file.extend(number.to_le_bytes()),
        Value::F32(number) => file.extend(number.to_le_bytes()),
        Value::U64(number) => file.extend(number.to_le_bytes()),
        Value::I64(number) => file.extend(number.to_le_bytes()),
        Value::F64(number) => file.extend(number.to_le_bytes()),
        Value::Bool(flag) => file.push(u8::from(*flag)),
        Value::String(text) => put_text(file, text),
        Value::Array(values) => {
            let first = values.first().map_or(0, type_number);
            file.extend(first.to_le_bytes());
            put_length(file, values.len());
            values.iter().for_each(|it| put_value(file, it));
        }
    }
}
