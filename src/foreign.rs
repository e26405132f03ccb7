//! Other crates' traits for the pointers, a feature each. When tracing is off the pointers are
//! std's, which these crates implement their traits for themselves.

#[cfg(feature = "arc-swap")]
mod arc_swap;
#[cfg(feature = "rayon")]
mod rayon;
