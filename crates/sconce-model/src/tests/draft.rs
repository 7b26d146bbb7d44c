//! Writes GGUF byte by byte, with any fault one asks for.

pub(super) const U8: u32 = 0;
pub(super) const U32: u32 = 4;
pub(super) const BOOLEAN: u32 = 7;
pub(super) const STRING: u32 = 8;
pub(super) const ARRAY: u32 = 9;
pub(super) const U64: u32 = 10;

pub(super) const F32_TENSOR: u32 = 0;
pub(super) const Q8_0_TENSOR: u32 = 8;

/// A file in parts. Counts are those of the parts unless set.
pub(super) struct Draft {
    pub(super) magic: [u8; 4],
    pub(super) version: u32,
    pub(super) tensor_count: Option<u64>,
    pub(super) key_count: Option<u64>,
    pub(super) keys: Vec<Vec<u8>>,
    pub(super) tensors: Vec<Vec<u8>>,
    pub(super) data: Vec<u8>,
}

impl Draft {
    /// One key, two tensors of 128 bytes, nothing wrong.
    pub(super) fn sound() -> Self {
        let mut draft = Self {
            magic: *b"GGUF",
            version: 3,
            tensor_count: None,
            key_count: None,
            keys: Vec::new(),
            tensors: Vec::new(),
            data: vec![0; 256],
        };
        draft.key(b"general.architecture", STRING, &string(b"any"));
        draft.tensor(b"first", &[16, 2], F32_TENSOR, 0);
        draft.tensor(b"second", &[32], F32_TENSOR, 128);
        draft
    }

    pub(super) fn key(&mut self, key: &[u8], value_type: u32, value: &[u8]) {
        self.keys
            .push([&string(key)[..], &value_type.to_le_bytes(), value].concat());
    }

    /// `dimensions` innermost first, as the file has them.
    pub(super) fn tensor(&mut self, name: &[u8], dimensions: &[u64], kind: u32, offset: u64) {
        let mut entry = string(name);
        entry.extend((dimensions.len() as u32).to_le_bytes());
        entry.extend(dimensions.iter().flat_map(|it| it.to_le_bytes()));
        entry.extend(kind.to_le_bytes());
        entry.extend(offset.to_le_bytes());
        self.tensors.push(entry);
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let tensor_count = self.tensor_count.unwrap_or(self.tensors.len() as u64);
        let key_count = self.key_count.unwrap_or(self.keys.len() as u64);
        let mut bytes = self.magic.to_vec();
        bytes.extend(self.version.to_le_bytes());
        bytes.extend(tensor_count.to_le_bytes());
        bytes.extend(key_count.to_le_bytes());
        bytes.extend(self.keys.concat());
        bytes.extend(self.tensors.concat());
        bytes.resize(bytes.len().next_multiple_of(32), 0);
        bytes.extend(&self.data);
        bytes
    }
}

pub(super) fn string(text: &[u8]) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes()[..], text].concat()
}

/// An array's element type and claimed length, then `elements` as they are.
pub(super) fn array(element_type: u32, length: u64, elements: &[u8]) -> Vec<u8> {
    [
        &element_type.to_le_bytes()[..],
        &length.to_le_bytes(),
        elements,
    ]
    .concat()
}
