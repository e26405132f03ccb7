//! A graph that a program wrote, read by the command.
#![cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]

use refscope::locate::Search;
use refscope::{Arc, Rc};
use std::cell::RefCell;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Mutex;

struct Node(RefCell<Option<Rc<Node>>>);

static REGISTRY: Mutex<Vec<Arc<String>>> = Mutex::new(Vec::new());

/// Runs the command on a file, which is written before.
fn graph(name: &str, text: &str, arguments: &[&str]) -> Output {
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&file, text).expect("the folder can be written to");
    let mut command = Command::new(env!("CARGO_BIN_EXE_refscope"));
    command.arg("graph").arg(&file).args(arguments).env_remove("CLICOLOR_FORCE");
    command.output().expect("it starts")
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).expect("it is UTF-8")
}

#[test]
fn what_a_program_wrote_is_read() {
    refscope::track().expect("no sink is installed");
    for name in ["one", "two", "three"] {
        REGISTRY.lock().expect("not poisoned").push(Arc::new(name.to_owned()));
    }
    let kept = refscope::holders(&REGISTRY.lock().expect("not poisoned")[0]);
    let kept = kept.object().expect("it is traced").id().to_string();
    let node = Rc::new(Node(RefCell::default()));
    *node.0.borrow_mut() = Some(node.clone());
    let in_cycle = refscope::holders(&node).object().expect("it is traced").id().to_string();
    drop(node);
    let ownership = Search::new().run().expect("this is Linux");
    let json = ownership.to_json();

    let whole = text(&graph("whole.json", &json, &[]));
    assert!(whole.starts_with("4 objects and 4 handles were alive; 1 cycle"), "{whole}");
    assert!(whole.contains("         3  "), "{whole}");
    assert!(whole.contains("static graph::REGISTRY"), "{whole}");
    assert!(whole.contains("cycle ("), "{whole}");

    let one = text(&graph("one.json", &json, &["--object", &kept]));
    assert!(one.starts_with("held by: static graph::REGISTRY"), "{one}");
    assert!(one.contains("keeps 1 object alive, itself included"), "{one}");
    assert!(one.contains(" strong, in heap block"), "{one}");
    let cycle = text(&graph("cycle.json", &json, &["--object", &in_cycle]));
    assert!(cycle.contains("cycle (") && cycle.contains(" strong, in object "), "{cycle}");

    let dot = text(&graph("dot.json", &json, &["--format", "dot"]));
    assert!(dot.starts_with("digraph ownership {"), "{dot}");
    let svg = text(&graph("svg.json", &json, &["--format", "svg", "--object", &kept]));
    assert!(svg.starts_with("<svg"), "{svg}");
    let part = text(&graph("json.json", &json, &["--format", "json", "--object", &kept]));
    let part: serde_json::Value = serde_json::from_str(&part).expect("it is JSON");
    assert_eq!(part["graph"]["objects"].as_array().map(Vec::len), Some(1), "{part}");

    for (arguments, says) in [
        (&["--object", "999999"][..], "no object #999999 was alive"),
        (&["--format", "svg"], "--object NUMBER"),
    ] {
        let output = graph("wrong.json", &json, arguments);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn what_is_no_graph_is_refused() {
    for (name, wrong) in [
        ("empty", ""),
        ("other", "{\"refscope_recording\":1}"),
        ("later", "{\"refscope_ownership\":9}"),
    ] {
        let output = graph(&format!("{name}.json"), wrong, &[]);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains("no ownership graph") && error.contains("to_json"), "{error}");
    }
}
