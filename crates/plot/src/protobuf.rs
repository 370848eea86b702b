//! Writes protobuf messages, with the few types of fields that are needed.

/// A message that is being written: each method appends a field. `int` and `double` leave out 0, the default.
pub(crate) struct Message(Vec<u8>);

/// The wire type of a field.
#[derive(Clone, Copy)]
enum Wire {
    Varint = 0,
    Eight = 1,
    Counted = 2,
    Four = 5,
}

impl Message {
    pub fn new() -> Self {
        Self(Vec::new())
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn int(mut self, field: u64, value: u64) -> Self {
        if value != 0 {
            self.key(field, Wire::Varint);
            self.varint(value);
        }
        self
    }

    pub fn double(mut self, field: u64, value: f64) -> Self {
        if value != 0.0 {
            self.key(field, Wire::Eight);
            self.0.extend(value.to_le_bytes());
        }
        self
    }

    /// Appends a number even if it is 0.
    pub fn float(mut self, field: u64, value: f32) -> Self {
        self.key(field, Wire::Four);
        self.0.extend(value.to_le_bytes());
        self
    }

    pub fn text(mut self, field: u64, text: &str) -> Self {
        self.counted(field, text.as_bytes());
        self
    }

    pub fn message(mut self, field: u64, message: &Message) -> Self {
        self.counted(field, &message.0);
        self
    }

    pub fn doubles(mut self, field: u64, values: impl Iterator<Item = f64>) -> Self {
        let bytes: Vec<u8> = values.flat_map(f64::to_le_bytes).collect();
        self.counted(field, &bytes);
        self
    }

    fn counted(&mut self, field: u64, bytes: &[u8]) {
        self.key(field, Wire::Counted);
        self.varint(bytes.len() as u64);
        self.0.extend(bytes);
    }

    fn key(&mut self, field: u64, wire: Wire) {
        self.varint(field << 3 | wire as u64);
    }

    /// Appends a varint: seven bits a byte, the lowest first; the eighth bit is set if more bytes follow.
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}
