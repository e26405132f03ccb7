//! The tokio service of the examples: its leak is found.

#[path = "../../../examples/service/src/main.rs"]
mod service;

#[test]
fn checkpoints_of_a_service_name_the_line_that_grows() {
    let grown = service::run();
    assert_eq!(grown.iter().map(|growth| growth.objects()).collect::<Vec<_>>(), [3, 3, 3]);
    let leaks = grown[2].report();
    assert_eq!((leaks.leaks().len(), leaks.objects()), (1, 3));
    assert_eq!(grown[2].grown()[0].now, 9);
    let fault = leaks.leaks()[0].fault().and_then(|holder| holder.location()).unwrap();
    // As it was given to the compiler, which the workspace's root is the directory of.
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let source = std::fs::read_to_string(root.join(&*fault.file)).unwrap();
    assert!(source.lines().nth(fault.line as usize - 1).unwrap().contains("FAULT"), "{fault}");
}
