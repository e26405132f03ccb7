use crate::event::Location;

/// FNV-1a with 64 bits (Fowler, Noll and Vo): the same on every machine and in every version.
#[derive(Clone, Copy)]
pub(super) struct Fingerprint(u64);

impl Fingerprint {
    pub(super) fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    pub(super) fn add(&mut self, text: &str) {
        for byte in text.bytes().chain([0xff]) {
            let byte = if byte == b'\\' { b'/' } else { byte };
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    pub(super) fn add_file(&mut self, location: Option<&Location>) {
        self.add(location.map_or("", |location| portable(&location.file)));
    }

    pub(super) fn get(self) -> u64 {
        self.0
    }
}

/// A file as every machine has it: without what comes before the crate, or before the sources.
fn portable(file: &str) -> &str {
    if let Some((_, rest)) = file.split_once("/registry/src/") {
        return rest.split_once('/').map_or(rest, |(_, rest)| rest);
    }
    if !file.starts_with('/') && file.as_bytes().get(1) != Some(&b':') {
        return file;
    }
    let roots = ["/src/", "/tests/", "/examples/", "/benches/", "\\src\\", "\\tests\\"];
    let root = roots.iter().filter_map(|root| file.rfind(root)).max();
    root.map_or(file, |at| &file[at + 1..])
}

#[cfg(test)]
mod tests {
    use super::portable;

    #[test]
    fn files_as_every_machine_has_them() {
        for (file, want) in [
            ("src/main.rs", "src/main.rs"),
            ("/home/a/work/app/src/net/session.rs", "src/net/session.rs"),
            ("/home/a/.cargo/registry/src/index-1/dep-1.2.0/src/lib.rs", "dep-1.2.0/src/lib.rs"),
            ("/builds/x/tests/leaks.rs", "tests/leaks.rs"),
        ] {
            assert_eq!(portable(file), want);
        }
    }
}
