//! Maps with the compiler's own hasher, for keys that are numbers.

#[cfg(any(feature = "trace", feature = "json"))]
pub(crate) use rustc_hash::FxHashMap;
// Without either there is little to look up, and the library depends on nothing.
#[cfg(not(any(feature = "trace", feature = "json")))]
pub(crate) use std::collections::HashMap as FxHashMap;
