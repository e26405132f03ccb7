//! Programs that must not compile, with any compiler: what a text of the compiler's is compared with runs with one alone
//! (`tests/compile`). Each has a twin that differs in one thing, and compiles.

/// What a value in `Box` refers to lives longer.
///
/// ```compile_fail,E0597
/// use refscope::Box;
/// struct Inspector<'a>(&'a String);
/// impl Drop for Inspector<'_> {
///     fn drop(&mut self) {
///         println!("{}", self.0);
///     }
/// }
/// let (pointer, referent);
/// referent = String::from("a text");
/// pointer = Box::new(Inspector(&referent));
/// let _ = &pointer;
/// ```
struct DropCheckBox;

/// The twin of the above.
///
/// ```
/// use refscope::Box;
/// struct Inspector<'a>(&'a String);
/// impl Drop for Inspector<'_> {
///     fn drop(&mut self) {
///         println!("{}", self.0);
///     }
/// }
/// let (referent, pointer);
/// referent = String::from("a text");
/// pointer = Box::new(Inspector(&referent));
/// let _ = &pointer;
/// ```
struct DropCheckBoxTwin;

/// What a value in `Rc` refers to lives longer.
///
/// ```compile_fail,E0597
/// use refscope::Rc;
/// struct Inspector<'a>(&'a String);
/// impl Drop for Inspector<'_> {
///     fn drop(&mut self) {
///         println!("{}", self.0);
///     }
/// }
/// let (pointer, referent);
/// referent = String::from("a text");
/// pointer = Rc::new(Inspector(&referent));
/// let _ = &pointer;
/// ```
struct DropCheckRc;

/// The twin of the above.
///
/// ```
/// use refscope::Rc;
/// struct Inspector<'a>(&'a String);
/// impl Drop for Inspector<'_> {
///     fn drop(&mut self) {
///         println!("{}", self.0);
///     }
/// }
/// let (referent, pointer);
/// referent = String::from("a text");
/// pointer = Rc::new(Inspector(&referent));
/// let _ = &pointer;
/// ```
struct DropCheckRcTwin;

/// What a value in `Arc` refers to lives longer.
///
/// ```compile_fail,E0597
/// use refscope::Arc;
/// struct Inspector<'a>(&'a String);
/// impl Drop for Inspector<'_> {
///     fn drop(&mut self) {
///         println!("{}", self.0);
///     }
/// }
/// let (pointer, referent);
/// referent = String::from("a text");
/// pointer = Arc::new(Inspector(&referent));
/// let _ = &pointer;
/// ```
struct DropCheckArc;

/// The twin of the above.
///
/// ```
/// use refscope::Arc;
/// struct Inspector<'a>(&'a String);
/// impl Drop for Inspector<'_> {
///     fn drop(&mut self) {
///         println!("{}", self.0);
///     }
/// }
/// let (referent, pointer);
/// referent = String::from("a text");
/// pointer = Arc::new(Inspector(&referent));
/// let _ = &pointer;
/// ```
struct DropCheckArcTwin;

/// `Box<*const u8>` is not sent.
///
/// ```compile_fail,E0277
/// fn sent<T: Send>() {}
/// sent::<refscope::Box<*const u8>>();
/// ```
struct SendBoxConstU8;

/// The twin of the above.
///
/// ```
/// fn sent<T>() {}
/// sent::<refscope::Box<*const u8>>();
/// ```
struct SendBoxConstU8Twin;

/// `Rc<u8>` is not sent.
///
/// ```compile_fail,E0277
/// fn sent<T: Send>() {}
/// sent::<refscope::Rc<u8>>();
/// ```
struct SendRcU8;

/// The twin of the above.
///
/// ```
/// fn sent<T>() {}
/// sent::<refscope::Rc<u8>>();
/// ```
struct SendRcU8Twin;

/// `Arc<std::cell::Cell<u8>>` is not sent.
///
/// ```compile_fail,E0277
/// fn sent<T: Send>() {}
/// sent::<refscope::Arc<std::cell::Cell<u8>>>();
/// ```
struct SendArcStdCellCellU8;

/// The twin of the above.
///
/// ```
/// fn sent<T>() {}
/// sent::<refscope::Arc<std::cell::Cell<u8>>>();
/// ```
struct SendArcStdCellCellU8Twin;

/// `rc::Weak<u8>` is not sent.
///
/// ```compile_fail,E0277
/// fn sent<T: Send>() {}
/// sent::<refscope::rc::Weak<u8>>();
/// ```
struct SendRcWeakU8;

/// The twin of the above.
///
/// ```
/// fn sent<T>() {}
/// sent::<refscope::rc::Weak<u8>>();
/// ```
struct SendRcWeakU8Twin;

/// `sync::Weak<std::cell::Cell<u8>>` is not sent.
///
/// ```compile_fail,E0277
/// fn sent<T: Send>() {}
/// sent::<refscope::sync::Weak<std::cell::Cell<u8>>>();
/// ```
struct SendSyncWeakStdCellCellU8;

/// The twin of the above.
///
/// ```
/// fn sent<T>() {}
/// sent::<refscope::sync::Weak<std::cell::Cell<u8>>>();
/// ```
struct SendSyncWeakStdCellCellU8Twin;

/// What is lent lives no longer than the handle.
///
/// ```compile_fail,E0597
/// use refscope::{Rc, StdPtr};
/// let lent: &std::rc::Rc<str>;
/// {
///     let rc: Rc<str> = "text".into();
///     lent = rc.as_std();
/// }
/// println!("{lent}");
/// ```
struct Lent;

/// The twin of the above.
///
/// ```
/// use refscope::{Rc, StdPtr};
/// let lent: &std::rc::Rc<str>;
/// {
///     let rc: Rc<str> = "text".into();
///     lent = rc.as_std();
///     println!("{lent}");
/// }
/// ```
struct LentTwin;
