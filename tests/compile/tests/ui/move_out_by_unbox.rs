use refscope::Box;

pub(super) fn main() {
    let boxed = Box::new(String::from("mine"));
    let text: String = refscope::unbox(boxed);
    assert_eq!(text, "mine");
}
