//! serde's traits for the pointers, as serde's own `rc` feature has them for std's.

use refscope::{Arc, Box, Rc, rc, sync};

#[test]
fn there_and_back() {
    let rc = Rc::new(vec![1, 2]);
    assert_eq!(serde_json::to_string(&rc).unwrap(), "[1,2]");
    let text: (Rc<str>, Arc<[u8]>, Box<u16>) = serde_json::from_str(r#"["a",[1,2],3]"#).unwrap();
    assert_eq!((&*text.0, &*text.1, *text.2), ("a", &[1, 2][..], 3));
    let weak = Rc::downgrade(&rc);
    assert_eq!(serde_json::to_string(&weak).unwrap(), "[1,2]");
    drop(rc);
    assert_eq!(serde_json::to_string(&weak).unwrap(), "null");
    let weak: (rc::Weak<u8>, sync::Weak<u8>) = serde_json::from_str("[5,null]").unwrap();
    assert!(weak.0.upgrade().is_none() && weak.1.upgrade().is_none());
    assert!(serde_json::from_str::<Rc<u8>>("\"x\"").is_err());
}
