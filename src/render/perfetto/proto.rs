//! Protobuf's wire format, and the numbers of the fields that are written: those of Perfetto's own `.proto` files, of which
//! `trace.proto` beside this has what is used here.

/// A message that is being written.
#[derive(Default)]
pub(super) struct Message(pub(super) Vec<u8>);

impl Message {
    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    pub(super) fn number(&mut self, field: u64, number: u64) {
        self.varint(field << 3);
        self.varint(number);
    }

    pub(super) fn fixed(&mut self, field: u64, number: u64) {
        self.varint(field << 3 | 1);
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    pub(super) fn text(&mut self, field: u64, text: &str) {
        self.bytes(field, text.as_bytes());
    }

    pub(super) fn message(&mut self, field: u64, message: &Self) {
        self.bytes(field, &message.0);
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }
}

pub(super) const TRACE_PACKET: u64 = 1;

pub(super) const PACKET_TIME: u64 = 8;
pub(super) const PACKET_SEQUENCE: u64 = 10;
pub(super) const PACKET_EVENT: u64 = 11;
pub(super) const PACKET_FLAGS: u64 = 13;
pub(super) const PACKET_TRACK: u64 = 60;
pub(super) const STATE_CLEARED: u64 = 1;

pub(super) const TRACK_UUID: u64 = 1;
pub(super) const TRACK_NAME: u64 = 2;
pub(super) const TRACK_PROCESS: u64 = 3;
pub(super) const TRACK_PARENT: u64 = 5;
pub(super) const TRACK_COUNTER: u64 = 8;
pub(super) const PROCESS_PID: u64 = 1;
pub(super) const PROCESS_NAME: u64 = 6;
pub(super) const COUNTER_UNIT: u64 = 6;

pub(super) const EVENT_ANNOTATION: u64 = 4;
pub(super) const EVENT_TYPE: u64 = 9;
pub(super) const EVENT_TRACK: u64 = 11;
pub(super) const EVENT_CATEGORY: u64 = 22;
pub(super) const EVENT_NAME: u64 = 23;
pub(super) const EVENT_COUNTER_VALUE: u64 = 30;
pub(super) const EVENT_FLOW: u64 = 47;
pub(super) const EVENT_FLOW_END: u64 = 48;
pub(super) const SLICE_BEGIN: u64 = 1;
pub(super) const SLICE_END: u64 = 2;
pub(super) const INSTANT: u64 = 3;
pub(super) const COUNTER: u64 = 4;

pub(super) const ANNOTATION_TEXT: u64 = 6;
pub(super) const ANNOTATION_NAME: u64 = 10;
