//! Threads that std does not know.

/// Runs `task` on a thread that std does not know. One of std's takes a lock of std's when it starts and when it ends: a
/// child of a process that forked just then finds it locked for good, and hangs in std's own `exit` and `spawn`.
pub(crate) fn on_a_plain_thread(task: impl FnOnce() + Send) {
    extern "C" fn start<F: FnOnce()>(task: *mut libc::c_void) -> *mut libc::c_void {
        // SAFETY: it is the task that was given below, where the thread is waited for.
        let task = unsafe { &mut *task.cast::<Option<F>>() };
        task.take().unwrap()();
        std::ptr::null_mut()
    }
    fn start_of<F: FnOnce()>(_: &F) -> extern "C" fn(*mut libc::c_void) -> *mut libc::c_void {
        start::<F>
    }
    let (start, mut thread) = (start_of(&task), 0);
    let mut task = Some(task);
    let task = (&raw mut task).cast();
    // SAFETY: the function is given what it expects, and the thread's number is written to.
    let code = unsafe { libc::pthread_create(&raw mut thread, std::ptr::null(), start, task) };
    assert_eq!(code, 0);
    // SAFETY: the thread was made above, and is joined once.
    assert_eq!(unsafe { libc::pthread_join(thread, std::ptr::null_mut()) }, 0);
}
