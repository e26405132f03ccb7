//! `?` cannot turn a box of ours into std's: the orphan rule. `into_std` is the way: see `remedies_by_the_docs.rs`.

use refscope::Box;
use std::error::Error;

fn ours() -> Result<(), Box<dyn Error>> {
    Ok(())
}

fn theirs() -> Result<(), std::boxed::Box<dyn Error>> {
    ours()?;
    Ok(())
}

fn main() {
    let _ = theirs();
}
