//! On plain stable another crate's pointer is no `self`.

use refscope::sync::Arc;

struct Task;

impl Task {
    fn run(self: Arc<Self>) {}
}

fn main() {
    Arc::new(Task).run();
}
