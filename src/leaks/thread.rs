use crate::{Scope, ScopeGuard};
use std::cell::RefCell;

thread_local! {
    /// Of the scopes that this thread is in until it ends.
    static GUARDS: RefCell<Guards> = const { RefCell::new(Guards(Vec::new())) };
}

struct Guards(Vec<ScopeGuard>);

impl Drop for Guards {
    fn drop(&mut self) {
        // In the reverse order of their making.
        while let Some(guard) = self.0.pop() {
            drop(guard);
        }
    }
}

impl Scope {
    /// Enters the scope on this thread until the thread ends: for the threads of a runtime or a pool, which call this as
    /// they start.
    ///
    /// | who starts the threads | how |
    /// | --- | --- |
    /// | tokio | `runtime::Builder::on_thread_start(move \|\| scope.enter_thread())` |
    /// | rayon | `ThreadPoolBuilder::start_handler(move \|_\| scope.enter_thread())` |
    /// | you | `scope.enter_thread()`, first in the thread's closure |
    ///
    /// Call it where no other scope's guard is alive on the thread: guards end in the reverse order of their making.
    ///
    /// # Examples
    ///
    /// ```
    /// use refscope::{Arc, leaks::Check};
    ///
    /// let check = Check::new();
    /// let scope = check.scope().clone();
    /// check.run(|| {
    ///     let worker = std::thread::spawn(move || {
    ///         scope.enter_thread();
    ///         drop(Arc::new("belongs to the check"));
    ///     });
    ///     worker.join().unwrap();
    /// });
    /// ```
    pub fn enter_thread(&self) {
        let guard = self.enter();
        // Where that fails the thread is at its end, and with it the scope.
        let _ = GUARDS.try_with(|guards| guards.borrow_mut().0.push(guard));
    }
}
