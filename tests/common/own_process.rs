//! Tests of the whole process: that search its memory, where another test's thread has a stack that they would find words on,
//! or that count what it does.

/// Runs the test that calls it again, in a process of its own, and returns whether that passed: then the caller returns. It
/// is `false` in that process, and where the harness has no other thread.
///
/// # Panics
///
/// Where the test fails there.
pub(crate) fn passed_in_its_own_process() -> bool {
    const IN_ITS_OWN: &str = "REFSCOPE_TEST_IN_ITS_OWN_PROCESS";
    let this = std::thread::current();
    let name = this.name().filter(|name| *name != "main");
    let (Some(name), None) = (name, std::env::var_os(IN_ITS_OWN)) else {
        return false;
    };
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(IN_ITS_OWN, "1")
        .env_remove("REFSCOPE")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{}\n{text}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    true
}
