//! Tests of what a signal's handler leaves that interrupted the runtime: a test has the lock, and does what the handler would.

use crate::runtime::view;
use crate::{Arc, Scope};

/// An object that ends where the table of raw pointers cannot be had stays in the table. The one that gets its entry is not
/// taken for it: its own raw pointers come back.
#[test]
fn an_object_ends_without_the_table_of_raw_pointers() {
    let scope = Scope::tracking();
    // So large that none of the others is at its address, where it would be known to be gone.
    let one = scope.run(|| Arc::new([0_u8; 200 << 10]));
    // SAFETY: the pointer came from `into_raw`.
    drop(unsafe { Arc::from_raw(Arc::into_raw(one.clone())) });
    view::with_raw_table(|| drop(one));
    assert_eq!(scope.alive(), [], "it has ended");
    // Its entry is used again in the end, oldest first.
    let others: Vec<_> = (1..5_000_u64)
        .map(|n| {
            let other = scope.run(|| Arc::new(n));
            // SAFETY: as above.
            let back = unsafe { Arc::from_raw(Arc::into_raw(other.clone())) };
            (other, back)
        })
        .collect();
    for object in scope.alive() {
        assert_eq!((object.strong, object.handles.len()), (2, 2), "{object:?}");
        assert!(object.handles.iter().all(|handle| !handle.raw), "it came back: {object:?}");
    }
    drop(others);
    assert_eq!(scope.alive(), []);
}
