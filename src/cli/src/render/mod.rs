//! From values to text for people: plain columns, sizes as `zfs list` writes them, times as ages.

mod clip;
mod doubts;
mod quantity;
mod table;
mod text;

pub(super) use clip::{clip, fitted};
pub(super) use doubts::low_trust;
pub(super) use quantity::{age, ago, seconds, size, size_in_words};
pub(super) use table::{Column, table};
pub(super) use text::{guest_text, or_dash, short_snapshot};
