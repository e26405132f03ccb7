//! From addresses in this process to frames.

use super::modules::{self, Module};
use crate::stack::frame::{Frame, Stack};
use std::collections::HashMap;
use std::sync::Arc;

/// Finds the functions and lines of addresses in this process.
///
/// Reads debug information, and so takes time and memory: for reports, never inside the program's own clones and drops.
pub(in crate::stack) struct Resolver {
    modules: Vec<Module>,
    #[cfg(feature = "stacks")]
    files: crate::stack::symbols::Files,
    known: HashMap<usize, Arc<[Frame]>>,
}

impl Resolver {
    pub(in crate::stack) fn new() -> Self {
        Self {
            modules: modules::loaded(),
            #[cfg(feature = "stacks")]
            files: Default::default(),
            known: HashMap::default(),
        }
    }

    /// Returns the stack that was taken as these return addresses.
    pub(in crate::stack) fn resolve(&mut self, addresses: &[usize]) -> Stack {
        let frames = addresses.iter().flat_map(|&address| self.frames(address).to_vec());
        Stack::new(frames.collect())
    }

    fn frames(&mut self, address: usize) -> Arc<[Frame]> {
        if let Some(known) = self.known.get(&address) {
            return Arc::clone(known);
        }
        let has_address = |module: &&Module| module.range.contains(&address);
        if !self.modules.iter().any(|module| has_address(&module)) {
            // Loaded since, or made by a compiler in the program, of which nothing is known.
            self.modules = modules::loaded();
        }
        let frames: Arc<[Frame]> = match self.modules.iter().find(has_address) {
            None => [Frame::unknown(None, address as u64)].into(),
            Some(module) => {
                let offset = address.wrapping_sub(module.bias) as u64;
                #[cfg(feature = "stacks")]
                {
                    // The executable as it was started, though its file was replaced since.
                    let path = std::path::Path::new("/proc/self/exe");
                    let path = if module.main { path } else { &*module.path };
                    self.files.frames(path, &module.path, offset).into()
                }
                #[cfg(not(feature = "stacks"))]
                {
                    [Frame::unknown(Some(module.path.display().to_string()), offset)].into()
                }
            }
        };
        self.known.insert(address, Arc::clone(&frames));
        frames
    }
}
